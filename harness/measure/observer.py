"""What is watched beside the load: the sampler's sources and Triton's counters, written into the run folder."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from harness.records.schemas import SERVER_STATISTICS, TELEMETRY
from harness.records.store import PartWriter, RunFolder
from harness.scenario.schema import Telemetry
from harness.target.endpoint import Endpoint
from harness.telemetry import host, nvml, prometheus, triton_statistics
from harness.telemetry.sample import Sample
from harness.telemetry.sampler import Sampler
from harness.telemetry.source import Source, Unavailable

NVML = "nvml"
OFF = "switched off in the scenario"
NO_GRPC = "they are read over Triton's gRPC, and this target is asked over HTTP"
NO_METRICS_PAGE = "no metrics_url was given for this target"


class Observer:
    """Context manager: samples from its beginning to its end, and reads counters at window edges on demand.

    `label` tells its part files from those of other observers of the same folder.
    """

    def __init__(
        self, folder: RunFolder, label: str, settings: Telemetry, endpoint: Endpoint, load_generator_pid: int
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._samples = PartWriter(folder.part_path("telemetry", label), TELEMETRY)
        self._counters = PartWriter(folder.part_path("server_statistics", label), SERVER_STATISTICS)
        roles = {
            "load_generator": [load_generator_pid],
            "server": list(endpoint.server_pids),
            "harness": [os.getpid()],
        }
        self._sampler = Sampler(_sources(settings, endpoint, roles), self._keep)
        self._no_statistics = None if settings.statistics else OFF

    def __enter__(self) -> Observer:
        self._sampler.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._sampler.__exit__(kind, error, trace)
        finally:
            self._samples.close()
            self._counters.close()

    def not_available(self) -> dict[str, str]:
        """Source → why it has nothing to tell."""
        reasons = {item.source: f"has gaps: {item.reason}" for item in self._sampler.interrupted}
        reasons |= {item.source: item.reason for item in self._sampler.unavailable}
        if self._no_statistics:
            reasons[triton_statistics.NAME] = self._no_statistics
        return reasons

    def read_edge(self, edge: str, point_id: str, repetition: int, arm: str | None) -> None:
        """Read energy counters and Triton's statistics now; `edge` is "window_start" or "window_end"."""
        self._sampler.read_edge()
        if not self._settings.statistics:
            return
        rows = self._read_statistics()
        if isinstance(rows, Unavailable):
            self._no_statistics = rows.reason
            return
        self._no_statistics = None
        same = {"point_id": point_id, "repetition": repetition, "arm": arm, "edge": edge}
        table = [
            {**same, "time_ns": row.time_ns, "model": row.model, "model_version": row.version}
            | {"counter": counter, "value": value, "unit": unit}
            for row in rows
            for counter, value, unit in row.counters()
        ]
        self._counters.write(pa.Table.from_pylist(table, schema=SERVER_STATISTICS))

    def _read_statistics(self) -> list[triton_statistics.ModelStatistics] | Unavailable:
        tls, url = self._endpoint.tls, self._endpoint.triton_grpc_url
        if url is None:
            return Unavailable(triton_statistics.NAME, NO_GRPC)
        files = None
        if tls is not None:
            files = triton_statistics.Tls(_text(tls.ca_file), _text(tls.key_file), _text(tls.cert_file))
        return triton_statistics.read(url, headers=self._endpoint.headers, tls=files)

    def _keep(self, samples: list[Sample]) -> None:
        columns = list(zip(*samples, strict=True))
        arrays = [pa.array(column, field.type) for column, field in zip(columns, TELEMETRY, strict=True)]
        self._samples.write(pa.Table.from_arrays(arrays, schema=TELEMETRY))


def _sources(settings: Telemetry, endpoint: Endpoint, roles: dict[str, list[int]]) -> list[Source | Unavailable]:
    """The energy counters come first: at a window's edge sources are read in this order."""
    gpus: list[Source | Unavailable] = [Unavailable(NVML, OFF)]
    if settings.nvml and _is_local(endpoint):
        gpus = list(nvml.open_sources(period_s=settings.period_s))
    elif settings.nvml:
        gpus = [Unavailable(NVML, "the target runs on another host: read its GPUs there")]
    page = _metrics_page(settings, endpoint) if settings.metrics else Unavailable(prometheus.NAME, OFF)
    processes = host.open_source(roles, period_s=settings.period_s) if settings.host else Unavailable(host.NAME, OFF)
    return [*gpus, page, processes]


def _is_local(endpoint: Endpoint) -> bool:
    name = endpoint.url.rpartition(":")[0].strip("[]")
    return name in ("localhost", "::1") or name.startswith("127.")


def _metrics_page(settings: Telemetry, endpoint: Endpoint) -> Source | Unavailable:
    if endpoint.metrics_url is None:
        return Unavailable(prometheus.NAME, NO_METRICS_PAGE)
    context = None
    if endpoint.tls is not None and endpoint.metrics_url.startswith("https"):
        context = ssl.create_default_context(cafile=_text(endpoint.tls.ca_file))
    return prometheus.open_source(
        endpoint.metrics_url, headers=endpoint.headers, tls=context, period_s=settings.period_s
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
