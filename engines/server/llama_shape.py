"""The size of a random-weight Llama, and its special tokens. Pure: each engine makes the weights its own way."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

ROPE_BASE = 10_000.0
NORM_EPSILON = 1e-5
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
MAX_POSITIONS = 8192


@dataclass(frozen=True)
class Shape:
    """The size of the model, in the words of a Llama configuration."""

    vocabulary_size: int
    hidden_size: int
    layers: int
    attention_heads: int
    kv_heads: int
    head_size: int
    feed_forward_size: int
    seed: int

    @classmethod
    def parse(cls, text: str) -> Shape:
        """The shape from a JSON object with exactly these keys; ValueError says what is wrong with it."""
        given = json.loads(text)
        names = [field.name for field in fields(cls)]
        missing, unknown = [n for n in names if n not in given], [n for n in given if n not in names]
        if missing or unknown:
            raise ValueError(f"shape: missing {missing}, unknown {unknown}; the keys are {names}")
        shape = cls(**{name: int(given[name]) for name in names})
        wrong = [name for name in names[:-1] if getattr(shape, name) < 1]
        if wrong:
            raise ValueError(f"shape: {wrong} must be at least 1")
        if shape.attention_heads % shape.kv_heads or shape.head_size % 2:
            raise ValueError("shape: attention_heads must be a multiple of kv_heads, and head_size even")
        return shape

    @classmethod
    def from_configuration(cls, text: str) -> Shape:
        """The shape from a model folder's `config.json`."""
        said = json.loads(text)
        return cls(
            vocabulary_size=said["vocab_size"],
            hidden_size=said["hidden_size"],
            layers=said["num_hidden_layers"],
            attention_heads=said["num_attention_heads"],
            kv_heads=said["num_key_value_heads"],
            head_size=said["head_dim"],
            feed_forward_size=said["intermediate_size"],
            seed=said["random_weights_seed"],
        )

    def configuration(self) -> dict[str, object]:
        """`config.json`, as OpenVINO GenAI and a reader of Hugging Face models expect it."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocabulary_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.attention_heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_size,
            "intermediate_size": self.feed_forward_size,
            "max_position_embeddings": MAX_POSITIONS,
            "rms_norm_eps": NORM_EPSILON,
            "rope_theta": ROPE_BASE,
            "pad_token_id": PAD_ID,
            "bos_token_id": BOS_ID,
            "eos_token_id": EOS_ID,
            "torch_dtype": "float16",
            "random_weights_seed": self.seed,
        }

    def as_json(self) -> dict[str, int]:
        return asdict(self)
