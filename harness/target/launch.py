"""Start an engine's Triton on this machine: environment → model → repository → ports → tritonserver → ready.

Used by `embedded` (for one run) and by `harness engine up` (detached). The caller shuts down what it is given.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.engine.load import LoadedEngine
from harness.engine.repository import RepositoryPaths, read_templates, render
from harness.errors import TargetNotReady
from harness.resources import shipped
from harness.target import private_folder, process, server_log, tritonserver
from harness.target.model_cache import TOKENIZER, prepare_model
from harness.target.ports import Ports, WantedPorts, choose
from harness.target.process import Child, Identity
from harness.target.readiness import wait_until_ready
from harness.target.server_environment import OPENVINO, TORCH, Progress, ServerEnvironment, prepare
from harness.target.start_phases import StartPhases
from harness.target.tritonserver import ServerFolder

READY_LIMIT_S = 120.0
GRACE_S = tritonserver.EXIT_TIMEOUT_S + 3.0  # Triton's own exit timeout, and a moment for the rest
LIBRARIES = {"cpu": OPENVINO, "torch": TORCH}  # engine kind → what computes; these kinds bring their own Triton
PORT_ATTEMPTS = 3  # somebody may take a free port between choosing and starting


@dataclass(frozen=True)
class Launched:
    """A server that was started."""

    child: Child
    ports: Ports
    folder: Path  # private to this server, removed when it is shut down
    log: Path
    tokenizer: Path  # the model's tokenizer.json
    family: tuple[Identity, ...] = ()  # all its processes at the moment it was ready
    start_phases: Mapping[str, float] = field(default_factory=dict)  # see `start_phases`


def nobody_cares(_: Launched) -> None:
    """The default for `on_start`."""


def launch(
    engine: LoadedEngine,
    log: Path,
    *,
    wanted: WantedPorts,
    tethered: bool,
    limit_s: float = READY_LIMIT_S,
    progress: Progress,
    on_start: Callable[[Launched], None] = nobody_cares,
) -> Launched:
    """Start the engine and wait until it is ready; `limit_s` bounds that wait, not a first installation.

    `on_start` is called when the process exists, before it is ready; again if it has to be started again.
    Raises UsageError or TargetNotReady, and then leaves nothing running and nothing but the log.
    """
    choose(wanted)  # a port in use is said before anything slow
    parts = prepare_parts(engine, progress)
    environment, model = parts.environment, parts.model
    with private_folder.kept_on_success() as root:
        folder = ServerFolder(root)
        lay_out(engine, parts, folder)

        def begin() -> Launched:
            ports = choose(wanted)
            child = _begin(environment, folder, ports, log, tethered)
            return Launched(child, ports, folder.root, log, model / TOKENIZER)

        progress(f"starting Triton with {engine.spec.name}")
        return _until_ready(begin, on_start, limit_s, progress)


@dataclass(frozen=True)
class Parts:
    """What an engine of ours needs before it can start."""

    environment: ServerEnvironment
    model: Path


def prepare_parts(engine: LoadedEngine, progress: Progress) -> Parts:
    """The environment and the model, made when they are not there yet. Raises UsageError."""
    spec = engine.embedded
    library = LIBRARIES[spec.kind]
    environment = prepare(progress, library)
    return Parts(environment, prepare_model(spec.model, environment, progress, library))


def lay_out(engine: LoadedEngine, parts: Parts, folder: ServerFolder) -> None:
    """Write the rendered repository, and what Triton needs beside it, into a fresh folder."""
    paths = RepositoryPaths(shipped("engines", "server"), parts.model, folder.socket)
    files = render(engine.embedded, paths, read_templates(engine.embedded))
    with private_folder.writable(folder.root):
        tritonserver.lay_out(folder, parts.environment, files)


def shut_down(launched: Launched) -> None:
    """Stop the server with everything it started and remove its private folder. Safe to call twice.

    Interrupted meanwhile, it ends everything by force before the interruption goes on.
    """
    try:
        process.end(launched.child, grace_s=GRACE_S)
    except KeyboardInterrupt:
        process.end(launched.child, grace_s=0)
        raise
    finally:
        shutil.rmtree(launched.folder, ignore_errors=True)


def _begin(environment: ServerEnvironment, folder: ServerFolder, ports: Ports, log: Path, tethered: bool) -> Child:
    log.unlink(missing_ok=True)
    return process.start(
        tritonserver.command(environment, folder, ports),
        tritonserver.variables(environment, folder, os.environ),
        log,
        working_folder=folder.working,
        tethered=tethered,
    )


def _until_ready(
    begin: Callable[[], Launched], on_start: Callable[[Launched], None], limit_s: float, progress: Progress
) -> Launched:
    """A ready server. One that lost a free port to somebody is begun again with another; what else fails is raised."""
    phases = StartPhases()
    for attempt in range(1, PORT_ATTEMPTS + 1):
        phases.begin()
        launched = begin()
        try:
            private_folder.mark(launched.folder, launched.child.identity)
            on_start(launched)
            wait_until_ready(
                launched.child.popen,
                launched.ports,
                launched.log,
                limit_s=limit_s,
                progress=progress,
                reached=phases.reached,
            )
            phases.add_loads(server_log.load_durations_s(server_log.read_tail(launched.log)))
            family = tuple(process.family(launched.child.identity))
            return dataclasses.replace(launched, family=family, start_phases=dict(phases.reached_s))
        except BaseException as error:
            process.end(launched.child, grace_s=GRACE_S)
            if not isinstance(error, TargetNotReady) or attempt == PORT_ATTEMPTS or not _lost_a_port(launched.log):
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _lost_a_port(log: Path) -> bool:
    return server_log.port_in_use(server_log.read_tail(log)) is not None
