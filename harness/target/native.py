"""A server that is started here as a process, or in a container, from a rendered repository: up, ready, down.

What to start is a `ServerStart` (`native_commands` makes them); this module knows no engine. A start that fails
leaves nothing behind but its log, and says why: it ended, it hangs (and with which model), it does not answer.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.errors import TargetNotReady
from harness.target import process, server_log
from harness.target.process import Child, Identity, is_alive
from harness.target.readiness import Health, wait_for_health, why_dead
from harness.target.server_environment import child_variables
from harness.target.start_phases import StartPhases

Progress = Callable[[str], None]
CONTAINER_LIMIT_S = 30.0


@dataclass(frozen=True)
class Container:
    """The container a command runs in: the program that made it, and its name."""

    program: str  # docker or podman
    name: str


@dataclass(frozen=True)
class ServerStart:
    """One server to start."""

    command: list[str]
    health: Health
    working_folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)  # beside those of this process
    container: Container | None = None
    grace_s: float = 30.0  # how long it may take to leave when told to


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    start: ServerStart
    child: Child
    log: Path
    family: tuple[Identity, ...]

    def check_alive(self) -> str | None:
        """None while it runs; else what ended and how."""
        dead = why_dead(self.child.popen, self.log)
        gone = [member.pid for member in self.family if not is_alive(member)]
        if dead is None and gone and self.start.container is None:
            return f"a process of the server ended: pid {', '.join(map(str, gone))}; see {self.log}"
        return dead


def bring_up(start: ServerStart, log: Path, *, limit_s: float, progress: Progress, phases: StartPhases) -> Running:
    """Start it and wait until it is ready. Raises TargetNotReady with the true reason, and then nothing is left.

    Call it in the main thread: the kernel ties the server's life to the thread that started it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    phases.begin()
    child = _begin(start, log)
    try:
        wait_for_health(
            child.popen,
            start.health,
            log,
            lambda: _answers_itself(start, child),
            limit_s=limit_s,
            progress=progress,
            reached=phases.reached,
        )
        phases.add_loads(server_log.load_durations_s(server_log.read_tail(log)))
        return Running(start, child, log, tuple(process.family(child.identity)))
    except BaseException:
        take_down(start, child)
        raise


def take_down(start: ServerStart, child: Child) -> None:
    """End it with everything it started. Interrupted meanwhile, it ends everything by force first."""
    try:
        process.end(child, grace_s=start.grace_s)
    except KeyboardInterrupt:
        process.end(child, grace_s=0)
        raise
    finally:
        if start.container is not None:
            remove_container(start.container)


def remove_container(container: Container) -> None:
    """Remove the container by its name, running or not: the end of its client does not end it for sure."""
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [container.program, "rm", "--force", container.name]
    try:
        subprocess.run(command, timeout=CONTAINER_LIMIT_S, check=False, **quiet)  # type: ignore[call-overload]
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TargetNotReady(
            f"the container {container.name} may still run: {error}", hint=f"remove it: {' '.join(command)}"
        ) from error


def _begin(start: ServerStart, log: Path) -> Child:
    variables = {**child_variables(os.environ), **start.variables}
    try:
        return process.start(start.command, variables, log, working_folder=start.working_folder, tethered=True)
    except OSError as error:
        raise TargetNotReady(f"{start.command[0]} cannot be started: {error.strerror}") from error


def _answers_itself(start: ServerStart, child: Child) -> bool:
    """Whether the process, or one that it started, listens on the port: else somebody else answered for it."""
    if start.container is not None:
        return True  # the container program's own server listens, outside of our family
    return any(_listens(member, start.health.port) for member in process.family(child.identity))


def _listens(member: Identity, port: int) -> bool:
    try:
        connections = psutil.Process(member.pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(entry.status == psutil.CONN_LISTEN and entry.laddr.port == port for entry in connections)
