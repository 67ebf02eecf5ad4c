"""Running a build: steps in a temporary folder, checked against the spec, renamed into the cache in one step.

A folder in the cache with its `built.json` is complete and is what the spec says. Whatever goes wrong before (a step
fails, hangs beyond its limit, is killed, makes something else) leaves nothing there but a log.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engine.build_key import build_key, checkpoint_hash, hub_identity
from harness.engine.build_steps import BuildPlaces, Step, has_local_weights, steps
from harness.engine.classic import ClassicEngine
from harness.engine.engine_config import BUILT, complaints, not_compared, read_engine
from harness.errors import HarnessError, TargetNotReady, UsageError
from harness.target import process, server_log
from harness.target.failure_patterns import explain
from harness.target.file_lock import exclusive
from harness.target.inspect_engine import inspect_folder
from harness.target.native import Container, remove_container
from harness.target.native_commands import in_container
from harness.target.process import Child, advice_if_killed, ending
from harness.units import show_duration

STEP_LIMIT_S = 6 * 3600.0
LOCK_LIMIT_S = 6 * 3600.0
SAY_EVERY_S = 20.0
POLL_S = 0.1
GRACE_S = 10.0
CONTAINER = "container"  # in a workshop: program and name of the container that works there
Progress = Callable[[str], None]
Wrap = Callable[[Step], tuple[list[str], Container | None]]  # how a step is run: as it is, or in a container


@dataclass(frozen=True)
class Workshop:
    """The folder in which one build happens: beside its place in the cache, so that a rename moves it there."""

    root: Path

    @property
    def engine(self) -> Path:
        """What trtllm-build writes, and what is kept."""
        return self.root / "engine"

    @property
    def checkpoint(self) -> Path:
        """TensorRT-LLM's checkpoint; removed after the build."""
        return self.root / "checkpoint"


def find_built(cache: Path, key: str) -> Path | None:
    """The engine with this key, complete and as it was when it was built."""
    place = cache / key
    return place if (place / BUILT).is_file() and why_damaged(place) is None else None


def why_damaged(place: Path) -> str | None:
    """Why an engine in the cache is no longer what was built; None when it is, as far as config.json and sizes tell."""
    try:
        noted = json.loads((place / BUILT).read_text())["values"]
        values = json.loads(json.dumps(read_engine(place)[0], default=str))
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"{place}: {error}"
    changed = [name for name in sorted({*noted, *values}) if noted.get(name) != values.get(name)]
    return f"{place}: changed since it was built: {', '.join(changed)}" if changed else None


@contextlib.contextmanager
def workshop(cache: Path, key: str, progress: Progress) -> Iterator[Workshop]:
    """A workshop for one build, alone on this host; swept at its end, with what earlier ones left behind."""
    cache.mkdir(parents=True, exist_ok=True)
    with exclusive(cache / f".{key}.lock", limit_s=LOCK_LIMIT_S, waiting=progress):
        for leftover in cache.glob(f".{key}.partial-*"):
            _sweep(leftover)
        root = Path(tempfile.mkdtemp(prefix=f".{key}.partial-", dir=cache))
        try:
            yield Workshop(root)
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _sweep(leftover: Path) -> None:
    """Remove what a build that was killed left behind; a container outlives the one who started it."""
    with contextlib.suppress(OSError, ValueError, TargetNotReady):
        program, name = (leftover / CONTAINER).read_text().splitlines()
        remove_container(Container(program, name))
    shutil.rmtree(leftover, ignore_errors=True)


def run_steps(todo: list[Step], shop: Workshop, wrap: Wrap, log: Path, progress: Progress) -> dict[str, float]:
    """Run one after the other; their durations in seconds. Raises UsageError with the reason when one fails."""
    durations: dict[str, float] = {}
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    for number, step in enumerate(todo, start=1):
        progress(f"{number} of {len(todo)}: {step.name} (log: {log})")
        began = time.monotonic()
        command, container = wrap(step)
        _run(step, command, container, shop, log, progress)
        if not Path(step.makes).is_dir():
            raise _failed(f"{step.name} ended without an error but made no {step.makes}", log)
        durations[step.name] = round(time.monotonic() - began, 3)
        progress(f"{step.name} took {show_duration(durations[step.name])}")
    return durations


def publish(
    spec: ClassicEngine, key: str, expected: Mapping[str, Any], shop: Workshop, cache: Path, facts: Any
) -> Path:
    """Read back what was built, compare it with the spec, and move it into the cache.

    Raises UsageError when it is no engine, lacks ranks, or is another one than the spec says.
    """
    found = inspect_folder(shop.engine)
    differ = complaints(expected, found.values, found.not_told)
    if differ:
        raise UsageError(
            f"what was built is not what {spec.name} says:\n  " + "\n  ".join(differ),
            hint="does this TensorRT-LLM have the version of the spec? its flags may have changed",
        )
    untold = not_compared(expected, found.values)
    note = {"key": key, "engine": spec.name, "values": found.values, "not_compared": untold, **facts}
    (shop.engine / BUILT).write_text(json.dumps(note, indent=2, default=str) + "\n")
    shop.engine.chmod(0o755)
    place = cache / key
    shutil.rmtree(place, ignore_errors=True)  # without its mark it is no engine
    shop.engine.rename(place)
    return place


def _run(
    step: Step, command: list[str], container: Container | None, shop: Workshop, log: Path, progress: Progress
) -> None:
    if container is not None:
        (shop.root / CONTAINER).write_text(f"{container.program}\n{container.name}\n")
    child = _begin(step, command, shop, log)
    began = said = time.monotonic()
    try:
        while child.popen.poll() is None:
            now = time.monotonic()
            if now - began > STEP_LIMIT_S:
                raise _failed(f"{step.name} did not end within {show_duration(STEP_LIMIT_S)}", log)
            if now - said >= SAY_EVERY_S:
                said = now
                last = server_log.last_lines(server_log.read_tail(log), 1)
                progress(f"{step.name}, {show_duration(now - began)}: {last[0] if last else '(nothing said yet)'}")
            time.sleep(POLL_S)
    finally:
        process.end(child, grace_s=GRACE_S)  # whatever it left behind, and all of it when we are interrupted
        if container is not None:
            remove_container(container)
    if child.popen.returncode != 0:
        code = child.popen.returncode
        raise _failed(f"{step.name} failed ({ending(code)})", log, advice_if_killed(code))


def _begin(step: Step, command: list[str], shop: Workshop, log: Path) -> Child:
    if shutil.which(command[0]) is None:
        raise UsageError(
            f"{step.name}: there is no {command[0]} on PATH",
            hint="build inside NVIDIA's container: --in container; or on a cluster: --in kubernetes",
        )
    return process.start(command, os.environ, log, working_folder=shop.root, tethered=True)


def _failed(headline: str, log: Path, advice: str = "") -> HarnessError:
    text = server_log.read_tail(log)
    known = explain(text)
    advice = f"{known.sentence}: {known.advice}\n  " if known else advice
    last = "\n  ".join(server_log.last_lines(text)) or "(it said nothing)"
    return UsageError(f"{headline}; the end of its log:\n  {last}", hint=f"{advice}the whole log: {log}")


@dataclass(frozen=True)
class BuildRequest:
    """What to build, and how."""

    spec: ClassicEngine
    expected: Mapping[str, Any]  # what the result must be, see `engine.inspect.expected_values`
    cache: Path
    tensorrt_llm: str  # its checkout, as the steps see it
    image: str | None = None  # None: the commands run here
    program: str = "docker"
    force: bool = False


def build(request: BuildRequest, progress: Progress) -> tuple[Path, bool]:
    """The engine's folder, and whether it was built now (False: the cache had it). Raises UsageError."""
    spec = request.spec
    key = key_of(spec, request.cache, progress)
    found = find_built(request.cache, key)
    if found is not None and not request.force:
        return found, False
    place = request.cache / key
    if found is None and place.is_dir():
        progress(f"building again, the engine in the cache is damaged: {why_damaged(place)}")
    with workshop(request.cache, key, progress) as shop:
        found = find_built(request.cache, key)  # somebody else may have built it while we waited for the lock
        if found is not None and not request.force:
            return found, False
        todo = steps(spec, places_in(shop, spec, request.tensorrt_llm))
        log = request.cache / "logs" / f"{key}.log"
        durations = run_steps(todo, shop, _wrapper(request, shop), log, progress)
        facts = {"steps_s": durations, "commands": [step.command for step in todo], "image": request.image}
        return publish(spec, key, request.expected, shop, request.cache, facts), True


def key_of(spec: ClassicEngine, cache: Path, progress: Progress) -> str:
    """The cache key; reads the weights when they are local. Raises UsageError."""
    memory = cache / "weights.json"
    if not has_local_weights(spec):
        return build_key(spec, hub_identity(spec), _gpu(spec))
    try:
        remembered = json.loads(memory.read_text()) if memory.is_file() else {}
    except ValueError:
        remembered = {}
    weights = checkpoint_hash(Path(spec.model.source).expanduser().resolve(), remembered, progress)
    cache.mkdir(parents=True, exist_ok=True)
    partial = memory.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}")  # containers that share a cache share pids
    partial.write_text(json.dumps(remembered, indent=0))
    partial.replace(memory)
    return build_key(spec, weights, _gpu(spec))


def places_in(shop: Workshop, spec: ClassicEngine, tensorrt_llm: str) -> BuildPlaces:
    """The folders of a build in this workshop."""
    weights = Path(spec.model.source).expanduser().resolve() if has_local_weights(spec) else shop.root / "weights"
    return BuildPlaces(tensorrt_llm, str(weights), str(shop.checkpoint), str(shop.engine))


def local_gpus() -> list[str]:
    """Product names of the GPUs of this host, by nvidia-smi; none without one."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]


def _gpu(spec: ClassicEngine) -> str:
    """The GPU it is built for: an engine is of one architecture. Raises UsageError when another one is here."""
    here = local_gpus()
    if here and spec.gpu.product not in here:
        raise UsageError(
            f"engine {spec.name} is meant for {spec.gpu.product}, this host has {', '.join(dict.fromkeys(here))}",
            hint="an engine runs on the kind of GPU it was built on: change `gpu` in the spec, or build elsewhere",
        )
    return spec.gpu.product


def _wrapper(request: BuildRequest, shop: Workshop) -> Wrap:
    if request.image is None:
        return lambda step: (step.command, None)
    mounts = [shop.root]
    if has_local_weights(request.spec):
        mounts.append(Path(request.spec.model.source).expanduser().resolve())
    image, program = request.image, request.program
    variables = {name: "" for name in ("HF_TOKEN",) if name in os.environ}

    def wrap(step: Step) -> tuple[list[str], Container | None]:
        return in_container(program, image, step.command, mounts=mounts, published={}, variables=variables)

    return wrap
