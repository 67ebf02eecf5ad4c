"""Where TensorRT-LLM's models differ in how they end a request and word an error. Pure."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Conventions:
    """One model's way."""

    final_alone: bool = False  # the flag FINAL comes in a response of its own, without tensors
    word_error: Callable[[str], str] = str
    errors_have_codes: bool = True  # else every error has Triton's INTERNAL
    beside_error: Mapping[str, np.ndarray] = field(default_factory=dict)


def as_traceback(text: str) -> str:
    """A whole Python traceback with this text at its end: what `tensorrt_llm_bls` sends for whatever goes wrong."""
    try:
        raise RuntimeError(text)
    except RuntimeError:
        return traceback.format_exc()


CLASSIC = Conventions()
BLS = Conventions(final_alone=True, word_error=as_traceback, errors_have_codes=False)
LLMAPI = Conventions(
    word_error=lambda text: f"Error generating request: {text}",
    errors_have_codes=False,
    beside_error={"text_output": np.array([b"N/A"], dtype=object)},
)
