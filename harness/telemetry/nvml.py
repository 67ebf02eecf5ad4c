"""NVIDIA GPUs as sources, one for each GPU, through NVML. (`identify`, what the GPUs are, is in nvml_identity.)

Without a GPU there is no source but a reason ("no NVIDIA GPU on this host"). What a GPU does not offer is left out;
an error of one call leaves that value out and is told. Entity: the GPU's uuid, with MIG also each instance's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from harness import clock
from harness.telemetry.nvml_gpm import Gpm, open_gpm
from harness.telemetry.nvml_identity import GpuIdentity, GpuInventory, identify
from harness.telemetry.nvml_library import NAME, NO_GPU, load, offered, text, unload
from harness.telemetry.nvml_readings import EDGE_READINGS, MIG_READINGS, READINGS, Reading, Value
from harness.telemetry.nvml_xid import XidQueue, open_xid_queue
from harness.telemetry.sample import Sample
from harness.telemetry.source import ReadFailed, Unavailable

__all__ = ["GpuIdentity", "GpuInventory", "GpuSource", "identify", "open_sources"]

PERIOD_S = 1.0
Opened = TypeVar("Opened")


@dataclass(frozen=True)
class _Part:
    """A GPU or one MIG instance of it: what to read under one entity."""

    uuid: str
    handle: Any
    readings: tuple[Reading, ...]
    gpm: Gpm | None
    xid: XidQueue | None = None


class _Call(NamedTuple):
    """One call to make: the entity its values belong to, what it tells, in words, and the call."""

    uuid: str
    what: str
    values: Callable[[], list[Value]]


class GpuSource:
    """One GPU, with its MIG instances. Holds one `load` of the library."""

    def __init__(self, nvml: Any, parts: Sequence[_Part], period_s: float, now: Callable[[], int]) -> None:
        self.name = f"{NAME} {parts[0].uuid}"
        self.period_s = period_s
        self._nvml = nvml
        self._parts = parts
        self._now = now

    def read(self) -> list[Sample]:
        """All that the GPU tells. Raises ReadFailed, with what could be read, when a call failed."""
        calls: list[_Call] = []
        for part in self._parts:
            calls += self._calls(part, part.readings)
            calls += [_Call(part.uuid, "XID", part.xid.read)] if part.xid else []
            calls += [_Call(part.uuid, "GPM", part.gpm.read)] if part.gpm else []
        return self._ask(calls)

    def read_edge(self) -> list[Sample]:
        """Energy, throttling, memory errors: the counters. Raises ReadFailed as `read` does."""
        return self._ask(self._calls(self._parts[0], EDGE_READINGS))

    def close(self) -> None:
        """Free the buffers and the library."""
        for part in self._parts:
            for extra in (part.gpm, part.xid):
                if extra:
                    extra.close()
        unload(self._nvml)

    def _calls(self, part: _Part, readings: Sequence[Reading]) -> list[_Call]:
        return [
            _Call(part.uuid, reading.__name__.replace("_", " "), partial(reading, self._nvml, part.handle))
            for reading in readings
        ]

    def _ask(self, calls: Sequence[_Call]) -> list[Sample]:
        samples: list[Sample] = []
        failures: list[str] = []
        for uuid, what, call in calls:
            try:
                values = offered(self._nvml, call) or []
            except self._nvml.NVMLError as error:
                failures.append(f"{what}: {error}")
                continue
            time_ns = self._now()
            samples += [Sample(time_ns, NAME, uuid, metric, float(value), unit) for metric, value, unit in values]
        if failures:
            raise ReadFailed(f"NVML failed to tell {', '.join(failures)}", samples)
        return samples


def open_sources(
    *,
    uuids: Collection[str] | None = None,
    period_s: float = PERIOD_S,
    nvml: Any = None,
    now: Callable[[], int] = clock.now,
) -> list[GpuSource | Unavailable]:
    """A source for each GPU (only `uuids`, if given), or one `Unavailable`. `nvml`: a module instead of `pynvml`."""
    library = load(nvml)
    if isinstance(library, Unavailable):
        return [library]
    sources: list[GpuSource | Unavailable] = []
    try:
        for index in range(library.nvmlDeviceGetCount()):
            sources += _open(library, index, uuids, period_s, now)
    except library.NVMLError as error:
        return [*sources, Unavailable(NAME, f"NVML cannot list the GPUs: {error}")]
    finally:
        unload(library)
    return sources or [Unavailable(NAME, NO_GPU if uuids is None else f"{NO_GPU} with uuid {', '.join(uuids)}")]


def _open(
    nvml: Any, index: int, uuids: Collection[str] | None, period_s: float, now: Callable[[], int]
) -> list[GpuSource | Unavailable]:
    """The source of one GPU (none when it is not asked for), and what of it is broken."""
    try:
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid = text(nvml.nvmlDeviceGetUUID(gpu))
        if uuids is not None and uuid not in uuids:
            return []
        instances = list(_mig_instances(nvml, gpu))
    except nvml.NVMLError as error:
        return [Unavailable(f"{NAME} {index}", f"GPU {index} cannot be opened: {error}")]
    broken: list[Unavailable] = []
    parts = [
        _Part(
            uuid,
            gpu,
            READINGS,
            _extra(nvml, f"{uuid} GPM", partial(open_gpm, nvml, gpu, None, now), broken),
            _extra(nvml, f"{uuid} XID", partial(open_xid_queue, nvml, gpu), broken),
        )
    ]
    for uuid, handle, instance in instances:
        gpm = _extra(nvml, f"{uuid} GPM", partial(open_gpm, nvml, gpu, instance, now), broken)
        parts.append(_Part(uuid, handle, MIG_READINGS, gpm))
    nvml.nvmlInit()  # one more count, given back by the source's close
    return [GpuSource(nvml, parts, period_s, now), *broken]


def _extra(nvml: Any, name: str, open_it: Callable[[], Opened | None], broken: list[Unavailable]) -> Opened | None:
    """What only some GPUs have: its failure is told, and costs nothing else."""
    try:
        return open_it()
    except nvml.NVMLError as error:
        broken.append(Unavailable(f"{NAME} {name}", f"NVML: {error}"))
        return None


def _mig_instances(nvml: Any, gpu: Any) -> Iterator[tuple[str, Any, int]]:
    """(uuid, handle, GPU instance) of each MIG device. Memory and GPM are its own; power and energy the GPU's."""
    mode = offered(nvml, partial(nvml.nvmlDeviceGetMigMode, gpu))
    if mode is None or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, place)
        except nvml.NVMLError as error:
            if error.value == nvml.NVML_ERROR_NOT_FOUND:  # no instance in this place
                continue
            raise
        yield text(nvml.nvmlDeviceGetUUID(handle)), handle, nvml.nvmlDeviceGetGpuInstanceId(handle)
