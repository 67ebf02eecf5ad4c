"""A built model is found again by its shape and its builder."""

from __future__ import annotations

from harness.engine.load import load_engine
from harness.target.model_cache import model_key


def test_the_key_follows_shape_and_builder() -> None:
    shape = load_engine("cpu-tiny").spec.model
    key = model_key(shape, b"builder")
    assert key.startswith("llama-v4096-h256-l4-")
    assert key == model_key(shape.model_copy(), b"builder")
    assert key != model_key(shape.model_copy(update={"seed": 1}), b"builder")
    assert key != model_key(shape, b"another builder")
