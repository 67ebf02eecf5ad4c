"""Builds a model folder: `build_model.py --shape JSON --out DIR`.

The folder holds `openvino_model.xml` and `.bin` (half-precision weights), `tokenizer.json` and `config.json` (the
shape in Hugging Face's words). It appears whole or not at all: everything is written to a sibling folder that is
renamed last. An existing DIR is left as it is and counts as success, so two builders may race.

Nothing is downloaded: the tokenizer is a byte-level BPE trained on the help texts in Python's own library.
"""

from __future__ import annotations

import argparse
import json
import os
import pydoc_data.topics
import shutil
import sys
import tempfile
from pathlib import Path

import llama_ir
import openvino as ov
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKENS = ["<pad>", "<s>", "</s>"]  # their ids are llama_ir.PAD_ID, BOS_ID, EOS_ID
MAX_POSITIONS = 8192


def train_tokenizer(vocabulary_size: int) -> Tokenizer:
    """A byte-level BPE: any text round-trips, and no text can be out of vocabulary."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(pydoc_data.topics.topics.values(), trainer)
    if tokenizer.get_vocab_size() > vocabulary_size:
        raise ValueError(
            f"vocabulary_size {vocabulary_size} is too small: bytes and special tokens alone need "
            f"{tokenizer.get_vocab_size()}"
        )
    return tokenizer


def describe(shape: llama_ir.Shape) -> dict[str, object]:
    """`config.json`, as OpenVINO GenAI and a reader of Hugging Face models expect it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary_size,
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.attention_heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "intermediate_size": shape.feed_forward_size,
        "max_position_embeddings": MAX_POSITIONS,
        "rms_norm_eps": llama_ir.NORM_EPSILON,
        "rope_theta": llama_ir.ROPE_BASE,
        "pad_token_id": llama_ir.PAD_ID,
        "bos_token_id": llama_ir.BOS_ID,
        "eos_token_id": llama_ir.EOS_ID,
        "torch_dtype": "float16",
        "random_weights_seed": shape.seed,
    }


def build(shape: llama_ir.Shape, out: Path) -> None:
    """Write the model folder `out`, atomically."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        ov.save_model(llama_ir.build(shape), unfinished / "openvino_model.xml", compress_to_fp16=True)
        train_tokenizer(shape.vocabulary_size).save(str(unfinished / "tokenizer.json"))
        (unfinished / "config.json").write_text(json.dumps(describe(shape), indent=2) + "\n")
        unfinished.chmod(0o755)  # mkdtemp makes it private; the folder is a cache that others may read
        _publish(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _publish(unfinished: Path, out: Path) -> None:
    try:
        os.rename(unfinished, out)
    except OSError:  # somebody else was faster: a non-empty folder cannot be replaced by rename
        if not (out / "config.json").is_file():
            raise


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build a random-weight Llama, its tokenizer and its config.json.")
    parser.add_argument("--shape", required=True, help="JSON object, see llama_ir.Shape")
    parser.add_argument("--out", required=True, type=Path, help="folder to create")
    options = parser.parse_args(arguments)
    try:
        shape = llama_ir.Shape.parse(options.shape)
        if not (options.out / "config.json").is_file():
            build(shape, options.out)
    except (ValueError, OSError) as problem:
        print(f"build_model: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
