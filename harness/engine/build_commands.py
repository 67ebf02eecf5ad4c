"""The commands that make a classic engine: fetch the weights, convert or quantise them, `trtllm-build`. Pure.

Flags are those of TensorRT-LLM up to 1.2 (from 1.3.0rc21 on there are no engines). Every value of the spec is written
out, so that no default can change under us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.engine.classic import ClassicEngine
from harness.engine.spec import EngineSpec
from harness.errors import UsageError

# quantize.py ignores these unless the format is calibrated, or has blocks.
CALIBRATION = ("calib_dataset", "calib_size", "calib_max_seq_length", "batch_size", "seed")
WITHOUT_CALIBRATION = ("int8_wo", "int4_wo", "full_prec")
IN_BLOCKS = ("int4_awq", "w4a8_awq", "nvfp4")


@dataclass(frozen=True)
class Places:
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


@dataclass(frozen=True)
class Recipe:
    """The parts of a spec that decide what is built."""

    name: str
    version: str
    source: str
    revision: str | None
    checkpoint: Mapping[str, Any]
    parallelism: Mapping[str, Any]
    build: Mapping[str, Any]
    gpu: str | None

    @property
    def is_local(self) -> bool:
        """Whether the weights are a folder, not a name on Hugging Face."""
        return self.source.startswith(("/", "./", "../", "~"))


def recipe_of(spec: EngineSpec) -> Recipe:
    """The recipe of a classic engine. Raises UsageError for a kind that needs no engine to be built."""
    if not isinstance(spec, ClassicEngine):
        own = spec.kind in ("cpu", "torch")
        why = "the first start makes its model" if own else "the LLM API reads the checkpoint itself"
        raise UsageError(
            f"engine {spec.name} (kind {spec.kind}) needs no build: {why}",
            hint=f"start it: harness engine up {spec.name}" if own else None,
        )
    return Recipe(
        name=spec.name,
        version=spec.tensorrt_llm_version,
        source=spec.model.source,
        revision=spec.model.revision,
        checkpoint=spec.checkpoint.model_dump(mode="json"),
        parallelism=spec.parallelism.model_dump(mode="json"),
        build=spec.build.model_dump(mode="json"),
        gpu=spec.gpu.product,
    )


def steps(recipe: Recipe, places: Places) -> list[Step]:
    """The commands in their order."""
    found = [] if recipe.is_local else [_fetch(recipe, places)]
    return [*found, _checkpoint(recipe, places), _engine(recipe, places)]


def _fetch(recipe: Recipe, places: Places) -> Step:
    command = ["huggingface-cli", "download", recipe.source, "--local-dir", places.weights]
    if recipe.revision is not None:
        command += ["--revision", recipe.revision]
    return Step("download", command, places.weights)


def _checkpoint(recipe: Recipe, places: Places) -> Step:
    said = dict(recipe.checkpoint)
    made_by, script = said.pop("made_by"), said.pop("script")
    if made_by == "quantize":
        if said["qformat"] in WITHOUT_CALIBRATION and said.get("kv_cache_dtype") is None:
            said = {name: value for name, value in said.items() if name not in CALIBRATION}
        if said["qformat"] not in IN_BLOCKS:
            said.pop("awq_block_size", None)
    command = ["python3", f"{places.tensorrt_llm.rstrip('/')}/{script}"]
    command += ["--model_dir", places.weights, "--output_dir", places.checkpoint]
    return Step(made_by, [*command, *_flags({**said, **recipe.parallelism})], places.checkpoint)


def _engine(recipe: Recipe, places: Places) -> Step:
    command = ["trtllm-build", "--checkpoint_dir", places.checkpoint, "--output_dir", places.engine]
    return Step("trtllm-build", [*command, *_flags(recipe.build)], places.engine)


def _flags(values: Mapping[str, Any]) -> list[str]:
    """`--name value`; a switch that is on stands alone, one that is off and what is not given are left out."""
    flags = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        flags += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return flags
