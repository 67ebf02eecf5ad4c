"""Command lines of real servers: tritonserver, alone or under mpirun, trtllm-serve, and either in a container. Pure.

Every listener is on the loopback interface. A folder is mounted into a container under its own path, so that what the
rendered configuration says holds inside and outside.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.target.native import Container
from harness.target.ports import LOOPBACK, Ports

TRITON = "/opt/tritonserver/bin/tritonserver"
ENGINE_MODEL = "tensorrt_llm"
INSIDE = Ports(grpc=8001, http=8000, metrics=8002)  # of a server in a container
EXIT_TIMEOUT_S = 10


def tritonserver(
    binary: str,
    repository: Path | str,
    ports: Ports,
    *,
    address: str = LOOPBACK,
    world_size: int = 1,
    more: Sequence[str] = (),
) -> list[str]:
    """One process per GPU under mpirun (leader mode, as TensorRT-LLM's launcher does it); rank 0 serves.

    Auto-complete stays on for one process: the LLM-API model needs it.
    """
    shared = [f"--model-repository={repository}", f"--exit-timeout-secs={EXIT_TIMEOUT_S}", *more]
    if world_size == 1:
        return [binary, *shared, *_listeners(address, ports)]
    command = ["mpirun", "--allow-run-as-root"]
    for rank in range(world_size):
        own = [binary, *shared, "--disable-auto-complete-config"]
        own.append(f"--backend-config=python,shm-region-prefix-name=prefix{rank}_")
        if rank == 0:
            own += _listeners(address, ports)
        else:
            own += ["--model-control-mode=explicit", f"--load-model={ENGINE_MODEL}"]
            own += ["--allow-http=false", "--allow-grpc=false", "--allow-metrics=false"]
        command += ["-n", "1", *own, ":"]
    return command[:-1]


def trtllm_serve(
    model: str, config: Path | None, port: int, *, host: str = LOOPBACK, more: Sequence[str] = ()
) -> list[str]:
    """trtllm-serve without its usage reports; sizes and parallelism stand in the YAML `config`."""
    command = ["trtllm-serve", model, "--host", host, "--port", str(port)]
    if config is not None:
        command += ["--extra_llm_api_options", str(config)]  # --config in newer versions, which still take this name
    return [*command, *more]


def in_container(
    program: str,
    image: str,
    inner: Sequence[str],
    *,
    mounts: Sequence[Path],
    published: Mapping[int, int],
    variables: Mapping[str, str],
    gpus: str | None = "all",
) -> tuple[list[str], Container]:
    """`docker run` (or podman's) around a command, attached, removed at its end. `published`: host port → inside.

    Variables are passed by name alone, so that no secret stands in a command line.
    """
    container = Container(program, f"harness-{secrets.token_hex(6)}")
    command = [program, "run", "--rm", "--name", container.name, "--shm-size=8g", "--ulimit", "memlock=-1"]
    command += ["--ulimit", "stack=67108864"]
    if gpus is not None:
        command += ["--device", "nvidia.com/gpu=all"] if Path(program).name == "podman" else ["--gpus", gpus]
    for folder in mounts:
        command += ["--volume", f"{folder}:{folder}"]
    for outside, inside in published.items():
        command += ["--publish", f"{LOOPBACK}:{outside}:{inside}"]
    for name in sorted(variables):
        command += ["--env", name]
    return [*command, image, *inner], container


def shown(command: Sequence[str]) -> str:
    """A command line for people: one option to a line, quoted where a shell needs it."""
    words = [shlex.quote(word) for word in command]
    lines = [words[0]] if words else []
    for word in words[1:]:
        if word.startswith("-"):
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return " \\\n    ".join(lines)


def _listeners(address: str, ports: Ports) -> list[str]:
    named = {"http": ports.http, "grpc": ports.grpc, "metrics": ports.metrics}
    return [flag for name, port in named.items() for flag in (f"--{name}-address={address}", f"--{name}-port={port}")]
