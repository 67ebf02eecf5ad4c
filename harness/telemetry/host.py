"""The host as a source: processors, memory and load of the machine, and of the processes of each role.

A *role* ("load_generator", "server", "harness") is a set of root processes; a descendant belongs to the nearest root
above it. Rows: entity "host", entity ROLE (sums over its processes), entity "ROLE/PID" (one process). Inside a
container psutil shows the machine, not the container's limits. A process that is gone, or may not be looked into, is
a gap. Units: bytes, ns, cores (1 = one processor fully busy), ratio.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

import psutil

from harness import clock
from harness.telemetry.sample import Sample
from harness.units import NS_PER_S

NAME = "host"
PERIOD_S = 1.0
LONGEST_ANCESTRY = 64

Roles = Mapping[str, Collection[int]]


class _Reading(NamedTuple):
    """What one process said: an element is None where the system does not let us look."""

    role: str
    pid: int
    created: float
    time_ns: int
    cpu_ns: float
    rss_bytes: int
    threads: int
    open_files: int | None


class HostSource:
    """Reads the host and the processes of each role. `roles` is asked anew at each read: processes come and go."""

    name = NAME

    def __init__(
        self, roles: Callable[[], Roles], *, period_s: float = PERIOD_S, now: Callable[[], int] = clock.now
    ) -> None:
        self.period_s = period_s
        self._roles = roles
        self._now = now
        self._host_before: tuple[float, float] | None = None
        self._processes_before: dict[tuple[int, float], _Reading] = {}

    def read(self) -> list[Sample]:
        """All values. The first read has no utilisation: that takes two."""
        return [*self._read_host(), *self._read_roles()]

    def read_edge(self) -> list[Sample]:
        """The processor time of each process so far."""
        return [_cpu_time(reading) for reading in _read_processes(self._roles(), self._now)]

    def close(self) -> None:
        """Nothing to give back."""

    def _read_host(self) -> Iterator[Sample]:
        busy, total = _host_cpu()
        time_ns = self._now()
        before, self._host_before = self._host_before, (busy, total)
        if before is not None and total > before[1]:
            share = (busy - before[0]) / (total - before[1])
            yield Sample(time_ns, NAME, NAME, "cpu_utilization", min(max(share, 0.0), 1.0), "ratio")
        memory = psutil.virtual_memory()
        time_ns = self._now()
        yield Sample(time_ns, NAME, NAME, "memory_total", memory.total, "bytes")
        yield Sample(time_ns, NAME, NAME, "memory_available", memory.available, "bytes")
        yield Sample(self._now(), NAME, NAME, "load_average_1m", psutil.getloadavg()[0], "processes")

    def _read_roles(self) -> Iterator[Sample]:
        readings = _read_processes(self._roles(), self._now)
        before = self._processes_before
        self._processes_before = {(reading.pid, reading.created): reading for reading in readings}
        by_role: dict[str, list[_Reading]] = defaultdict(list)
        for reading in readings:
            by_role[reading.role].append(reading)
            yield _cpu_time(reading)
        for role, members in by_role.items():
            yield from _sums(role, members)
            yield from _cores(role, members, before)


def open_source(
    roles: Callable[[], Roles] | Roles, *, period_s: float = PERIOD_S, now: Callable[[], int] = clock.now
) -> HostSource:
    """The host and the processes of `roles` ({"load_generator": [pid, ...], ...}, or a function that returns that)."""
    if callable(roles):
        return HostSource(roles, period_s=period_s, now=now)
    fixed = roles
    return HostSource(lambda: fixed, period_s=period_s, now=now)


def _host_cpu() -> tuple[float, float]:
    """(busy, total) processor seconds since boot; waiting for a disk is not busy; guest time is inside user already."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _read_processes(roles: Roles, now: Callable[[], int]) -> list[_Reading]:
    role_of_root = {pid: role for role, pids in roles.items() for pid in pids}
    if not role_of_root:
        return []
    processes = {process.pid: process for process in psutil.process_iter(["ppid"])}
    parents = {pid: process.info["ppid"] for pid, process in processes.items()}
    readings = []
    for pid, process in processes.items():
        role = role_of(pid, parents, role_of_root)
        reading = _read_process(process, role, now) if role else None
        if reading:
            readings.append(reading)
    return readings


def role_of(pid: int, parents: Mapping[int, int | None], role_of_root: Mapping[int, str]) -> str | None:
    """The role of the nearest root at or above a process: the server started by the harness is not the harness."""
    at: int | None = pid
    for _ in range(LONGEST_ANCESTRY):
        if at is None or at in role_of_root:
            break
        at = parents.get(at)
    return None if at is None else role_of_root.get(at)


def _read_process(process: psutil.Process, role: str, now: Callable[[], int]) -> _Reading | None:
    try:
        with process.oneshot():
            cpu = process.cpu_times()
            time_ns = now()
            rss, threads, created = process.memory_info().rss, process.num_threads(), process.create_time()
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
    except psutil.Error:
        return None
    return _Reading(
        role, process.pid, created, time_ns, (cpu.user + cpu.system) * NS_PER_S, rss, threads, _open_files(process)
    )


def _open_files(process: psutil.Process) -> int | None:
    try:
        return int(process.num_fds())
    except psutil.Error:
        return None


def _cpu_time(reading: _Reading) -> Sample:
    return Sample(reading.time_ns, NAME, f"{reading.role}/{reading.pid}", "cpu_time", reading.cpu_ns, "ns")


def _sums(role: str, members: list[_Reading]) -> Iterator[Sample]:
    time_ns = members[-1].time_ns
    yield Sample(time_ns, NAME, role, "processes", len(members), "processes")
    yield Sample(time_ns, NAME, role, "memory_rss", sum(member.rss_bytes for member in members), "bytes")
    yield Sample(time_ns, NAME, role, "threads", sum(member.threads for member in members), "threads")
    open_files = [member.open_files for member in members if member.open_files is not None]
    if len(open_files) == len(members):
        yield Sample(time_ns, NAME, role, "open_files", sum(open_files), "files")


def _cores(role: str, members: list[_Reading], before: Mapping[tuple[int, float], _Reading]) -> Iterator[Sample]:
    """Processors kept busy since the last read: by the whole role, and by its busiest process (a worker has only one).

    Told only when every process was there the last time: a part would look like the whole.
    """
    shares = []
    for member in members:
        earlier = before.get((member.pid, member.created))
        if earlier is None or member.time_ns <= earlier.time_ns:
            return
        shares.append((member.cpu_ns - earlier.cpu_ns) / (member.time_ns - earlier.time_ns))
    time_ns = members[-1].time_ns
    yield Sample(time_ns, NAME, role, "cpu_cores", sum(shares), "cores")
    yield Sample(time_ns, NAME, role, "cpu_cores_busiest_process", max(shares), "cores")
