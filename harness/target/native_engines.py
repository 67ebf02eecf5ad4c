"""From a TensorRT-LLM spec to a `ServerStart`: where the engine is, what is written, process or container.

Nothing of this has run on real TensorRT-LLM: command lines and files follow its documentation and source.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.engine.classic import ClassicEngine
from harness.engine.llmapi import LlmApiEngine, ServeEngine
from harness.engine.native_repository import serve_yaml
from harness.engine.spec import NativeSpec
from harness.engine.version import container_image
from harness.errors import UsageError
from harness.target import engine_build, native_commands
from harness.target.native import Container, ServerStart
from harness.target.native_commands import INSIDE
from harness.target.places import cache_folder
from harness.target.ports import LOOPBACK, Ports
from harness.target.readiness import Health

Progress = Callable[[str], None]
# The files of a repository, given the folder of the engine (classic) and of the tokenizer, as the server sees them.
Render = Callable[[ClassicEngine | LlmApiEngine, str], Mapping[str, bytes]]
CONFIG = "llm_arguments.yaml"
PASSED_ON = ("HF_TOKEN", "HF_HOME", "CUDA_VISIBLE_DEVICES", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
ANY_ADDRESS = "0.0.0.0"  # inside a container, whose ports are published on the loopback interface only


@dataclass(frozen=True)
class NativePlace:
    """Where a server of TensorRT-LLM is started: on this host, or in a container."""

    on: str  # "process" or "container"
    root: Path  # private to this server
    ports: Ports  # on this host


def native_start(spec: NativeSpec, place: NativePlace, render: Render, progress: Progress) -> ServerStart:
    """Write what the server needs below `place.root`, and say how to start it.

    Raises UsageError when the engine was not built, or the program is not here.
    """
    if isinstance(spec, ServeEngine):
        return _serve(spec, place)
    engine_dir = str(_built(spec, progress)) if isinstance(spec, ClassicEngine) else ""
    repository = place.root / "repository"
    for path, content in render(spec, engine_dir).items():
        file = repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    inside = place.on == "container"
    ports, address = (INSIDE, ANY_ADDRESS) if inside else (place.ports, LOOPBACK)
    binary = native_commands.TRITON if inside else tritonserver_here()
    world = spec.world_size if isinstance(spec, ClassicEngine) else 1  # the LLM API starts its workers itself
    command = native_commands.tritonserver(binary, repository, ports, address=address, world_size=world)
    mounts = [place.root] + ([Path(engine_dir)] if engine_dir else []) + _local(spec)
    published = {place.ports.http: ports.http, place.ports.grpc: ports.grpc, place.ports.metrics: ports.metrics}
    return _start(spec, place, command, Health("Triton", place.ports.http), mounts, published)


def with_whole_paths(spec: NativeSpec) -> NativeSpec:
    """The spec with folders of this host (`./…`, `../…`, `~…`) by their full path.

    A server has another working folder than we have, and a container another home.
    """
    here = {name: _whole(getattr(spec.model, name)) for name in ("source", "tokenizer")}
    changed: dict[str, object] = {"model": spec.model.model_copy(update=here)}
    if isinstance(spec, ServeEngine) and here["source"] != spec.model.source:
        changed["server"] = spec.server.model_copy(update={"served_model_name": spec.models[0]})
    return spec.model_copy(update=changed)


def _whole(name: str | None) -> str | None:
    is_folder = name is not None and name.startswith(("./", "../", "~"))
    return str(Path(name).expanduser().resolve()) if name is not None and is_folder else name


def tritonserver_here() -> str:
    """The tritonserver of this host. Raises UsageError when there is none."""
    found = shutil.which("tritonserver") or native_commands.TRITON
    if not Path(found).is_file():
        raise UsageError(
            "there is no tritonserver on this host (not on PATH, not in /opt/tritonserver/bin)",
            hint="`on: process` belongs inside NVIDIA's container; from outside write `on: container`",
        )
    return found


def _serve(spec: ServeEngine, place: NativePlace) -> ServerStart:
    config = place.root / CONFIG
    config.write_bytes(serve_yaml(spec))
    inside = place.on == "container"
    if not inside and shutil.which("trtllm-serve") is None:
        raise UsageError(
            "there is no trtllm-serve on PATH",
            hint="`on: process` belongs where TensorRT-LLM is installed; from outside write `on: container`",
        )
    port, host = (INSIDE.http, ANY_ADDRESS) if inside else (place.ports.http, LOOPBACK)
    command = serve_command(spec, config, port=port, host=host)
    health = Health("trtllm-serve", place.ports.http, live="/health", ready="/health")
    return _start(spec, place, command, health, [place.root, *_local(spec)], {place.ports.http: port})


def serve_command(spec: ServeEngine, config: Path, *, port: int = INSIDE.http, host: str = ANY_ADDRESS) -> list[str]:
    """trtllm-serve with everything that is no argument of `LLM()`; those stand in `config`."""
    more = ["--log_level", spec.server.log_level]
    given = {"served_model_name": spec.server.served_model_name, "tokenizer": spec.model.tokenizer}
    given["revision"] = spec.model.revision
    more += [word for name, value in given.items() if value is not None for word in (f"--{name}", value)]
    return native_commands.trtllm_serve(spec.model.source, config, port, host=host, more=more)


def _start(
    spec: NativeSpec,
    place: NativePlace,
    command: list[str],
    health: Health,
    mounts: list[Path],
    published: dict[int, int],
) -> ServerStart:
    container: Container | None = None
    working = place.root / "work"
    working.mkdir()
    if place.on == "container":
        command, container = _in_container(spec, command, mounts, published)
    return ServerStart(command, health, working, container=container)


def _in_container(
    spec: NativeSpec, command: list[str], mounts: list[Path], published: dict[int, int]
) -> tuple[list[str], Container]:
    program = next((name for name in ("docker", "podman") if shutil.which(name)), None)
    if program is None:
        raise UsageError("there is neither docker nor podman on PATH", hint="install one, or write `on: process`")
    image = container_image(spec.tensorrt_llm_version)
    if image is None:
        raise UsageError(f"no container of NVIDIA's is known for TensorRT-LLM {spec.tensorrt_llm_version}")
    variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return native_commands.in_container(
        program, image, command, mounts=mounts, published=published, variables=variables
    )


def _built(spec: ClassicEngine, progress: Progress) -> Path:
    """The engine in the cache. Raises UsageError when it was not built: a run never builds one by the way."""
    cache = cache_folder() / "trtllm"
    key = engine_build.key_of(spec, cache, progress)
    found = engine_build.find_built(cache, key)
    if found is None and (cache / key).is_dir():
        raise UsageError(
            f"the engine of {spec.name} in the cache is damaged: {engine_build.why_damaged(cache / key)}",
            hint=f"build it again, it takes minutes to hours: harness engine build {spec.name}",
        )
    if found is None:
        raise UsageError(
            f"the engine of {spec.name} has not been built (there is no {cache / key})",
            hint=f"build it first, it takes minutes to hours: harness engine build {spec.name}",
        )
    return found


def _local(spec: NativeSpec) -> list[Path]:
    """Folders of this host that the spec names: weights, tokenizer."""
    named = [spec.model.source, spec.model.tokenizer_source]
    return list(dict.fromkeys(Path(name) for name in named if name.startswith("/")))
