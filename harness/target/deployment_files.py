"""Everything to deploy an engine elsewhere: its repository, and scripts that build and launch it. Pure.

repository/    the Triton model repository (classic, llmapi)
llm.yaml       the arguments of trtllm-serve (serve)
build.sh       checkpoint and trtllm-build (classic)
launch.sh      starts the server; every path is relative to its own folder, or as the server sees it
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engine.build_steps import BuildPlaces, has_local_weights, steps
from harness.engine.classic import ClassicEngine
from harness.engine.llmapi import LlmApiEngine, ServeEngine
from harness.engine.native_repository import Places, classic_repository, llmapi_repository, serve_yaml
from harness.engine.native_templates import Templates
from harness.engine.spec import NativeSpec
from harness.engine.version import container_image
from harness.target.native_commands import TRITON, shown, tritonserver
from harness.target.ports import Ports

HERE = "@HERE@"
USUAL = Ports(grpc=8001, http=8000, metrics=8002)
EVERYWHERE = "0.0.0.0"  # a deployed server listens for others; the ones that this program starts do not
REPOSITORY = "repository"


@dataclass(frozen=True)
class Deployment:
    """What to write where, and how to start it."""

    files: dict[str, bytes]
    notes: tuple[str, ...]


def deployment_files(spec: NativeSpec, places: Places, templates: Templates | None) -> Deployment:
    """The files by path. `templates` are needed for all but `serve`. Raises UsageError, see `classic_repository`."""
    if isinstance(spec, ServeEngine):
        files = {"llm.yaml": serve_yaml(spec)}
        return Deployment({**files, "launch.sh": _script(spec, serve_command(spec))}, ())
    assert templates is not None
    notes = (f"models from {templates.origin}",)
    if isinstance(spec, LlmApiEngine):
        files = _below(REPOSITORY, llmapi_repository(spec, templates))
        return Deployment({**files, "launch.sh": _script(spec, _triton(1, []))}, notes)
    files = _below(REPOSITORY, classic_repository(spec, places, templates))
    launch = _script(spec, _triton(spec.world_size, ["--disable-auto-complete-config"]))
    return Deployment({**files, "build.sh": build_script(spec, places), "launch.sh": launch}, notes)


def serve_command(spec: ServeEngine) -> list[str]:
    """`trtllm-serve`; the older name of --config, which newer versions still take."""
    command = ["trtllm-serve", spec.model.source, "--host", EVERYWHERE, "--port", str(USUAL.http)]
    command += ["--extra_llm_api_options", f"{HERE}/llm.yaml", "--log_level", spec.server.log_level]
    more = {"tokenizer": spec.model.tokenizer, "revision": spec.model.revision}
    more["served_model_name"] = spec.server.served_model_name
    return command + [word for name, value in more.items() if value is not None for word in (f"--{name}", value)]


def build_script(spec: ClassicEngine, places: Places) -> bytes:
    """Run in TensorRT-LLM's folder, inside the container: fetch the weights, convert or quantise, build."""
    weights = spec.model.source if has_local_weights(spec) else f"{places.engine_dir}.weights"
    made = BuildPlaces(".", weights, f"{places.engine_dir}.checkpoint", places.engine_dir)
    return "\n".join([_head(spec), *(shown(step.command) for step in steps(spec, made)), ""]).encode()


def _triton(world_size: int, more: Sequence[str]) -> list[str]:
    more = [] if world_size > 1 else more  # with several ranks each says it already
    repository = Path(HERE) / REPOSITORY
    return tritonserver(TRITON, repository, USUAL, address=EVERYWHERE, world_size=world_size, more=more)


def _script(spec: NativeSpec, command: Sequence[str]) -> bytes:
    lines = [
        _head(spec),
        "export TRTLLM_NO_USAGE_STATS=1  # newer versions report usage unless told not to",
        'HERE="$(cd "$(dirname "$0")" && pwd)"',
        "exec " + shown(command).replace(shlex.quote(HERE), HERE).replace(HERE, '"$HERE"'),
        "",
    ]
    return "\n".join(lines).encode()


def _head(spec: NativeSpec) -> str:
    image = container_image(spec.tensorrt_llm_version)
    inside = f", e.g. in {image}" if image else ""
    memory = f"{spec.gpu.memory_gib:g} GiB"
    revision = f" at {spec.model.revision}" if spec.model.revision else ""
    return (
        "#!/bin/sh\nset -eu\n"
        f"# {spec.name}: {spec.model.source}{revision} on {spec.gpu_count} x {spec.gpu.product} ({memory}),\n"
        f"# TensorRT-LLM {spec.tensorrt_llm_version}{inside}. Written by `harness engine render`."
    )


def _below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{path}": content for path, content in files.items()}
