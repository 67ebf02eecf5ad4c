"""Versions of TensorRT-LLM as specs name them: `1.2.1`, `1.3.0rc21`; and what changed with which.

The facts are those of the project's sources; where a version is only known as "not later than", that one stands here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from harness.scenario.strict import mistake

_TEXT = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:rc(\d{1,3}))?")
_FINAL = 1_000  # a release counts as later than all its candidates


@dataclass(frozen=True, order=True)
class Version:
    """Ordered as released: 1.3.0rc20 < 1.3.0rc21 < 1.3.0."""

    major: int
    minor: int
    patch: int
    candidate: int = _FINAL

    def __str__(self) -> str:
        final = f"{self.major}.{self.minor}.{self.patch}"
        return final if self.candidate == _FINAL else f"{final}rc{self.candidate}"


def version(text: str) -> Version:
    """The version this text names. Raises ValueError when it names none."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no version of TensorRT-LLM")
    major, minor, patch, candidate = found.groups()
    return Version(int(major), int(minor), int(patch or 0), _FINAL if candidate is None else int(candidate))


def _named(text: str) -> str:
    try:
        version(text)
    except ValueError:
        raise mistake(f"{text!r} is no version: write `1.2.1` or `1.3.0rc21`, in quotes if it has one dot") from None
    return text


VersionText = Annotated[str, AfterValidator(_named)]

CLASSIC_SINCE = version("0.17.0")  # the oldest whose build flags and tensors are known here
CLASSIC_UNTIL = version("1.3.0rc20")  # the last with engines: trtllm-build and the C++ backend went with rc21
LLMAPI_SINCE = version("1.0.0")  # cancellation and performance metrics came to Triton's LLM-API model with 1.0
ENGINE_ARGUMENTS_UNTIL = version("1.2.99")  # arguments of the LLM API's engine backend: quant_config and its like
NEW_SCHEDULER_SINCE = version("1.3.0rc27")  # the pages that document the newer scheduler fields
BACKEND_DEPRECATED_SINCE = version("1.3.0rc1")  # `backend` of LLM(): in the arguments of the 1.3 line; not later

# TensorRT-LLM → the newest release of NVIDIA's Triton container with it (Triton's compatibility page, 2026-11).
CONTAINERS = {
    "1.2.1": "26.07",
    "1.2.0": "26.03",
    "1.1.0": "26.02",
    "1.0.3": "25.11",
    "1.0.0": "25.10",
    "0.21.0": "25.08",
    "0.20.0": "25.07",
    "0.16.0": "24.12",
    "0.10.0": "24.06",
}


def container_image(tensorrt_llm_version: str) -> str | None:
    """NVIDIA's Triton container with this TensorRT-LLM; None when none is known."""
    release = CONTAINERS.get(str(version(tensorrt_llm_version)))
    return None if release is None else f"nvcr.io/nvidia/tritonserver:{release}-trtllm-python-py3"
