"""The steps that make a classic engine: fetch the weights, convert or quantise them, `trtllm-build`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from harness.engine.build_commands import build_command, checkpoint_command
from harness.engine.classic import ClassicEngine
from harness.engine.spec import EngineSpec
from harness.errors import UsageError


@dataclass(frozen=True)
class BuildPlaces:
    """Folders, as the machine sees them that builds."""

    tensorrt_llm: str  # its checkout, with examples/
    weights: str  # the Hugging Face checkpoint; made by the first step unless it is there
    checkpoint: str  # TensorRT-LLM's own, made by the second step
    engine: str  # made by the third


@dataclass(frozen=True)
class Step:
    """One command, and the folder it makes."""

    name: str
    command: list[str]
    makes: str


def classic_of(spec: EngineSpec) -> ClassicEngine:
    """The spec, if it is of an engine that is built. Raises UsageError for a kind that needs no build."""
    if isinstance(spec, ClassicEngine):
        return spec
    own = spec.kind in ("cpu", "torch")
    why = "the first start makes its model" if own else "the LLM API reads the checkpoint itself"
    raise UsageError(
        f"engine {spec.name} (kind {spec.kind}) needs no build: {why}",
        hint=f"start it: harness engine up {spec.name}" if own else None,
    )


def has_local_weights(spec: ClassicEngine) -> bool:
    """Whether the weights are a folder, not a name on Hugging Face."""
    return spec.model.source.startswith(("/", "./", "../", "~"))


def steps(spec: ClassicEngine, places: BuildPlaces) -> list[Step]:
    """The commands in their order."""
    convert = checkpoint_command(spec, places.checkpoint, weights=places.weights)
    convert[1] = f"{places.tensorrt_llm.rstrip('/')}/{convert[1]}"  # the script, as a path from anywhere
    return [
        *([] if has_local_weights(spec) else [_fetch(spec, places)]),
        Step(spec.checkpoint.made_by, convert, places.checkpoint),
        Step("trtllm-build", build_command(spec, places.checkpoint, places.engine), places.engine),
    ]


def _fetch(spec: ClassicEngine, places: BuildPlaces) -> Step:
    command = ["huggingface-cli", "download", spec.model.source, "--local-dir", places.weights]
    if spec.model.revision is not None:
        command += ["--revision", spec.model.revision]
    return Step("download", command, places.weights)
