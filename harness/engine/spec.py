"""What an engine YAML file says: the tagged union of engine kinds, and the hash of a spec.

Each kind is a module: `cpu`, `torch_engine` (both embedded: our own Triton, our own engine), `classic`, `llmapi` (with
`serve`). Not here: where it runs and how it is started (`harness.target`).
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from pydantic import Field, RootModel

from harness.engine.classic import ClassicEngine
from harness.engine.cpu import CpuEngine
from harness.engine.llmapi import LlmApiEngine, ServeEngine
from harness.engine.torch_engine import TorchEngine

EmbeddedSpec = CpuEngine | TorchEngine  # served by the Triton that this program brings
NativeSpec = ClassicEngine | LlmApiEngine | ServeEngine  # served by TensorRT-LLM
EngineSpec = Annotated[
    CpuEngine | TorchEngine | ClassicEngine | LlmApiEngine | ServeEngine, Field(discriminator="kind")
]


class EngineFile(RootModel[EngineSpec]):
    """An engine file as a whole."""


def spec_hash(spec: EngineSpec) -> str:
    """16 hex digits that change when anything that could change a measurement does: all but name and description."""
    identity = spec.model_dump(mode="json", exclude={"name", "description"})
    settings = identity.get("settings")
    if settings and not settings.get("injected_slowdown_ratio"):
        settings.pop("injected_slowdown_ratio", None)  # added later: an engine without it keeps its hash
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
