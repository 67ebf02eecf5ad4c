"""Finding and reading an engine YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.engine.cpu import CpuEngine
from harness.engine.spec import EmbeddedSpec, EngineFile, EngineSpec, NativeSpec, spec_hash
from harness.engine.torch_engine import TorchEngine
from harness.errors import UsageError
from harness.resources import find_named
from harness.scenario.strict_yaml import load_strict


@dataclass(frozen=True)
class LoadedEngine:
    """An engine spec with the text it was read from."""

    spec: EngineSpec
    text: str
    path: Path

    @property
    def hash(self) -> str:
        """The spec's hash, see `spec_hash`."""
        return spec_hash(self.spec)

    @property
    def embedded(self) -> EmbeddedSpec:
        """The spec, if the Triton that this program brings can serve it. Raises UsageError when it cannot."""
        if isinstance(self.spec, CpuEngine | TorchEngine):
            return self.spec
        raise UsageError(
            f"engine {self.spec.name} (kind {self.spec.kind}) needs TensorRT-LLM: the embedded Triton has none",
            hint=f"its files and commands: harness engine render {self.spec.name}",
        )

    @property
    def native(self) -> NativeSpec:
        """The spec, if TensorRT-LLM serves it. Raises UsageError when it does not."""
        if isinstance(self.spec, CpuEngine | TorchEngine):
            raise UsageError(
                f"engine {self.spec.name} (kind {self.spec.kind}) is served by the embedded Triton",
                hint=f"start it: harness engine up {self.spec.name}",
            )
        return self.spec


def load_engine(name_or_path: str) -> LoadedEngine:
    """The engine with this name (in `./engines/`, then among the shipped ones) or in this file.

    Raises UsageError when there is none, ScenarioError when it has mistakes.
    """
    path = find_named("engines", name_or_path)
    file, text = load_strict(path, EngineFile)
    spec = file.root
    if spec.name != path.stem:
        raise UsageError(
            f"{path}: name is {spec.name!r} but the file is called {path.name}",
            hint=f"write `name: {path.stem}`, or rename the file to {spec.name}.yaml",
        )
    return LoadedEngine(spec, text, path)
