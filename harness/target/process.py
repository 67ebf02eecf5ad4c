"""Server processes: start one in a session of its own, tell whether it lives, stop it with everything it started.

Every signal goes to a pid whose start time still matches (a pid may be used again), or to a member of a session that
such a process leads. Nothing is ever found by name. Durations in seconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TETHER = Path(__file__).with_name("tethered.py")
POLL_S = 0.05
SHELL_SIGNALS = 128  # shells and docker tell a signal as an exit code above this
KILL_S = 5.0  # bound of the wait for processes that were sent SIGKILL


@dataclass(frozen=True)
class Identity:
    """One process for good: its pid, and the instant it started (seconds since boot, in psutil's resolution)."""

    pid: int
    started: float


@dataclass(frozen=True)
class Child:
    """A process that we started and must reap."""

    popen: subprocess.Popen[bytes]
    identity: Identity


def start(
    command: Sequence[str], environment: Mapping[str, str], log: Path, *, working_folder: Path, tethered: bool
) -> Child:
    """Start the command as leader of a new session, output appended to `log`.

    Tethered, it gets SIGTERM when this process (this thread) ends, however it ends; otherwise it lives on.
    """
    if tethered:
        command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]
    with log.open("ab") as output:
        popen = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=working_folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Not `identify`: a child that died at once is a zombie, and its session may still have members.
    return Child(popen, Identity(popen.pid, psutil.Process(popen.pid).create_time()))


def end(child: Child, *, grace_s: float) -> None:
    """`stop` a child of ours, and reap it."""
    stop(child.identity, grace_s=grace_s)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.popen.wait(timeout=KILL_S)


def release(child: Child) -> None:
    """Let a detached child live on without us: Popen would otherwise warn, when it is collected, that it still runs."""
    child.popen.returncode = 0


def identify(pid: int) -> Identity | None:
    """The identity of a running process; None when there is none (a zombie counts as none)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else Identity(pid, process.create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(identity: Identity) -> bool:
    """Whether this very process runs. A zombie does not."""
    found = identify(identity.pid)
    return found is not None and abs(found.started - identity.started) < 0.5


def family(identity: Identity) -> list[Identity]:
    """The process, its descendants, and all members of the session it leads; itself first. Zombies are left out.

    The session finds orphans whose parent is gone, the tree finds children that made a session of their own.
    """
    leader = identify(identity.pid)
    if leader is not None and not is_alive(identity):
        return []  # another process has that pid by now, so no member of the old session is left
    pids = [identity.pid] if leader else []
    with contextlib.suppress(psutil.NoSuchProcess):
        pids += [child.pid for child in psutil.Process(identity.pid).children(recursive=True)] if leader else []
    pids += [pid for pid in psutil.pids() if pid not in pids and _session(pid) == identity.pid]
    return [found for found in map(identify, pids) if found is not None]


def resident_bytes(identity: Identity) -> int:
    """The memory a process holds (RSS); 0 when it is gone."""
    try:
        return int(psutil.Process(identity.pid).memory_info().rss) if is_alive(identity) else 0
    except psutil.Error:
        return 0


def stop(identity: Identity, *, grace_s: float) -> list[Identity]:
    """End the process and its family: SIGTERM to it, `grace_s` to leave, then SIGKILL to all that remain.

    Returns those that had to be killed. Bounded by `grace_s` + KILL_S.
    """
    members = family(identity)
    if is_alive(identity):
        _send(identity, signal.SIGTERM)
        _wait_until_gone([identity], grace_s)
    known = {member.pid: member for member in [*members, *family(identity)]}
    # Helpers that notice their parent's end go by themselves within a moment.
    left = _wait_until_gone(list(known.values()), min(grace_s, 1.0))
    for member in left:
        _send(member, signal.SIGKILL)
    _wait_until_gone(left, KILL_S)
    return left


def ending(return_code: int) -> str:
    """How a process ended, for people: `exit code 1`, `signal 9 (SIGKILL)`."""
    if return_code >= 0:
        return f"exit code {return_code}"
    with contextlib.suppress(ValueError):
        return f"signal {-return_code} ({signal.Signals(-return_code).name})"
    return f"signal {-return_code}"


def advice_if_killed(return_code: int) -> str:
    """What to look at when a process, or the program of a container, was ended by SIGKILL; else nothing."""
    if return_code not in (-signal.SIGKILL, SHELL_SIGNALS + signal.SIGKILL):
        return ""
    return "somebody killed it: the kernel does when the host's memory (or the container's) runs out: see dmesg\n  "


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _send(identity: Identity, number: signal.Signals) -> None:
    if is_alive(identity):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(identity.pid, number)


def _wait_until_gone(identities: list[Identity], limit_s: float) -> list[Identity]:
    """Those of the processes that still run after at most `limit_s`."""
    deadline = time.monotonic() + limit_s
    left = [identity for identity in identities if is_alive(identity)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [identity for identity in left if is_alive(identity)]
    return left
