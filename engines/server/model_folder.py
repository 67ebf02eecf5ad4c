"""What every model folder has, whatever engine it is for: `tokenizer.json` and `config.json` (Hugging Face's words).

A folder appears whole or not at all: everything is written to a sibling folder that is renamed last. An existing one
is left as it is and counts as success, so two builders may race. Nothing is downloaded: the tokenizer is a byte-level
BPE trained on the help texts in Python's own library.
"""

from __future__ import annotations

import argparse
import json
import os
import pydoc_data.topics
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from llama_shape import Shape
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKENS = ["<pad>", "<s>", "</s>"]  # their ids are PAD_ID, BOS_ID, EOS_ID of llama_shape

SaveWeights = Callable[[Shape, Path], None]


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


def build(shape: Shape, out: Path, save_weights: SaveWeights) -> None:
    """Write the model folder `out`, atomically."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        save_weights(shape, unfinished)
        train_tokenizer(shape.vocabulary_size).save(str(unfinished / "tokenizer.json"))
        (unfinished / "config.json").write_text(json.dumps(shape.configuration(), indent=2) + "\n")
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


def main(description: str | None, save_weights: SaveWeights) -> int:
    """The command line of a builder."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--shape", required=True, help="JSON object, see llama_shape.Shape")
    parser.add_argument("--out", required=True, type=Path, help="folder to create")
    options = parser.parse_args()
    try:
        shape = Shape.parse(options.shape)
        if not (options.out / "config.json").is_file():
            build(shape, options.out, save_weights)
    except (ValueError, OSError) as problem:
        print(f"{Path(sys.argv[0]).stem}: {problem}", file=sys.stderr)
        return 2
    return 0
