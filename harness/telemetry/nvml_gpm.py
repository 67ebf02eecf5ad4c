"""GPM (Hopper and newer): how busy the parts of a GPU were between two samples of its hardware counters.

A value is the mean since the previous read, at least 100 ms earlier (NVIDIA's refresh interval). In containers the
counters may be reserved for the administrator: then there are no values. Ratios 0-1, bytes/s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from harness.telemetry.nvml_library import offered
from harness.telemetry.nvml_readings import Value
from harness.units import NS_PER_MS

SHORTEST_INTERVAL_NS = 100 * NS_PER_MS
PERCENT = 0.01
MIB = 1024**2


class GpmMetric(NamedTuple):
    """The constant's name in `pynvml`, the metric, and the factor to its unit."""

    constant: str
    metric: str
    unit: str
    factor: float


METRICS = (
    GpmMetric("NVML_GPM_METRIC_GRAPHICS_UTIL", "gpm_graphics_active", "ratio", PERCENT),
    GpmMetric("NVML_GPM_METRIC_SM_UTIL", "gpm_sm_active", "ratio", PERCENT),
    GpmMetric("NVML_GPM_METRIC_SM_OCCUPANCY", "gpm_sm_occupancy", "ratio", PERCENT),
    GpmMetric("NVML_GPM_METRIC_ANY_TENSOR_UTIL", "gpm_tensor_active", "ratio", PERCENT),
    GpmMetric("NVML_GPM_METRIC_HMMA_TENSOR_UTIL", "gpm_tensor_half_precision_active", "ratio", PERCENT),
    GpmMetric("NVML_GPM_METRIC_IMMA_TENSOR_UTIL", "gpm_tensor_integer_active", "ratio", PERCENT),
    GpmMetric("NVML_GPM_METRIC_DRAM_BW_UTIL", "gpm_memory_bandwidth", "ratio", PERCENT),
    GpmMetric("NVML_GPM_METRIC_PCIE_TX_PER_SEC", "gpm_pcie_sent", "bytes/s", MIB),
    GpmMetric("NVML_GPM_METRIC_PCIE_RX_PER_SEC", "gpm_pcie_received", "bytes/s", MIB),
    GpmMetric("NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC", "gpm_nvlink_sent", "bytes/s", MIB),
    GpmMetric("NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC", "gpm_nvlink_received", "bytes/s", MIB),
)


class Gpm:
    """Two sample buffers of one GPU, or of one MIG instance of it, used in turn."""

    def __init__(self, nvml: Any, gpu: Any, instance: int | None, now: Callable[[], int]) -> None:
        self._nvml = nvml
        self._gpu = gpu
        self._instance = instance
        self._now = now
        self._spare = nvml.nvmlGpmSampleAlloc()
        self._latest = nvml.nvmlGpmSampleAlloc()
        self._taken_ns: int | None = None

    def read(self) -> list[Value]:
        """The means since the previous read; empty the first time, and when that was less than 100 ms ago."""
        if self._taken_ns is not None and self._now() - self._taken_ns < SHORTEST_INTERVAL_NS:
            return []
        is_first = self._taken_ns is None
        self._take(self._spare)
        self._spare, self._latest = self._latest, self._spare
        self._taken_ns = self._now()
        return [] if is_first else self._between(self._spare, self._latest)

    def close(self) -> None:
        """Free the buffers."""
        for buffer in (self._spare, self._latest):
            self._nvml.nvmlGpmSampleFree(buffer)

    def _take(self, buffer: Any) -> None:
        if self._instance is None:
            self._nvml.nvmlGpmSampleGet(self._gpu, buffer)
        else:
            self._nvml.nvmlGpmMigSampleGet(self._gpu, self._instance, buffer)

    def _between(self, earlier: Any, later: Any) -> list[Value]:
        nvml = self._nvml
        known = [metric for metric in METRICS if hasattr(nvml, metric.constant)]
        question = nvml.c_nvmlGpmMetricsGet_t()
        question.version = nvml.NVML_GPM_METRICS_GET_VERSION
        question.numMetrics = len(known)
        question.sample1, question.sample2 = earlier, later
        for place, metric in enumerate(known):
            question.metrics[place].metricId = getattr(nvml, metric.constant)
        nvml.nvmlGpmMetricsGet(question)
        return [
            (metric.metric, answer.value * metric.factor, metric.unit)
            for metric, answer in zip(known, question.metrics, strict=False)  # the array has room for every metric
            if answer.nvmlReturn == nvml.NVML_SUCCESS and math.isfinite(answer.value)
        ]


def open_gpm(nvml: Any, gpu: Any, instance: int | None, now: Callable[[], int]) -> Gpm | None:
    """GPM of a GPU (`instance`: of that MIG instance of it), None where it is not offered."""
    support = offered(nvml, lambda: nvml.nvmlGpmQueryDeviceSupport(gpu))
    if support is None or not support.isSupportedDevice:
        return None
    return Gpm(nvml, gpu, instance, now)
