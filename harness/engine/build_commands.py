"""The commands that build a classic engine: checkpoint, then `trtllm-build`, with every value written out. Pure."""

from __future__ import annotations

from harness.engine.classic import ClassicEngine
from harness.engine.classic_checkpoint import WITHOUT_CALIBRATION, Conversion


def checkpoint_command(spec: ClassicEngine, checkpoint_dir: str, *, weights: str | None = None) -> list[str]:
    """Convert or quantise; run it in TensorRT-LLM's folder. `weights`: where the source was downloaded to."""
    options = {"model_dir": weights or spec.model.source, "output_dir": checkpoint_dir}
    options |= {"tp_size": str(spec.parallelism.tp_size), "pp_size": str(spec.parallelism.pp_size)}
    made = spec.checkpoint
    if isinstance(made, Conversion):
        experts = {"moe_tp_size": spec.parallelism.moe_tp_size, "moe_ep_size": spec.parallelism.moe_ep_size}
        options |= {name: str(value) for name, value in experts.items() if value is not None}
    options |= {
        name: str(value)
        for name, value in made.model_dump(exclude={"made_by", "script"}, exclude_none=True).items()
        if not (name.startswith("calib_") and _is_uncalibrated(spec))
    }
    return ["python3", made.script, *(word for name, value in options.items() for word in (f"--{name}", value))]


def build_command(spec: ClassicEngine, checkpoint_dir: str, engine_dir: str) -> list[str]:
    """`trtllm-build` with every flag that sizes the engine."""
    command = ["trtllm-build", "--checkpoint_dir", checkpoint_dir, "--output_dir", engine_dir]
    for name, value in spec.build.model_dump(exclude_none=True).items():
        if isinstance(value, bool):
            command += [f"--{name}"] if value else []
        elif not _is_left_out(spec, name):
            command += [f"--{name}", str(value)]
    return command


def _is_uncalibrated(spec: ClassicEngine) -> bool:
    made = spec.checkpoint
    return not isinstance(made, Conversion) and made.qformat in WITHOUT_CALIBRATION and made.kv_cache_dtype is None


def _is_left_out(spec: ClassicEngine, name: str) -> bool:
    """A default that has no meaning for an engine of this kind."""
    return name == "tokens_per_block" and spec.build.kv_cache_type != "paged"
