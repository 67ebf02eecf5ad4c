"""Which Triton models a client may ask, by contract (tensor names and shapes, not kind of engine)."""

from __future__ import annotations

CONTRACT_MODELS = {"classic": ("ensemble", "tensorrt_llm", "tensorrt_llm_bls"), "llmapi": ("tensorrt_llm",)}
