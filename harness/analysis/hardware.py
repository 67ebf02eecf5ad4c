"""Reasons about the GPUs, from telemetry rows: faults void a point, throttling weakens it.

Counters are compared over the window, from the last sample before it to the first behind it (`harness/telemetry/README`
has the names). A GPU that was not watched says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis import thresholds as limits
from harness.analysis.evidence import Evidence, MeasuredRepetition
from harness.metrics.results import Reason
from harness.units import NS_PER_S

NVML = "nvml"
EDGE_NS = 2 * NS_PER_S  # counters are read at the window's edges, within this
FAULTS = {
    "xid_errors": "XID errors",
    "ecc_errors_uncorrected": "uncorrected memory errors",
    "remapped_rows_uncorrectable": "memory rows remapped after uncorrectable errors",
}
BY_POWER_CAP = "throttled_by_power_cap"
THROTTLES = {
    "throttled_by_heat": "heat",
    "throttled_by_heat_software": "heat (software)",
    "throttled_by_heat_hardware": "heat (hardware)",
    "throttled_by_power_brake": "the power brake",
    BY_POWER_CAP: "the power limit",
}


def gpu_fault(evidence: Evidence) -> Iterator[Reason]:
    """A GPU reported an error: nothing it computed afterwards can be trusted."""
    yield from evidence.reason(
        "gpu_fault",
        "INVALID",
        _fault,
        "read the kernel log (dmesg) for the XID, reset or replace the GPU, measure again",
    )


def _fault(r: MeasuredRepetition) -> str | None:
    found = [
        f"{increase:.0f} {words} on {gpu}"
        for metric, words in FAULTS.items()
        for gpu, increase in _increases(r, metric)
        if increase > 0
    ]
    codes = sorted({int(code) for _, _, values in r.telemetry(NVML, "xid_code") for code in values})
    if codes:
        found.append("XID " + ", ".join(map(str, codes)))
    return "; ".join(found) or None


def gpu_throttled(evidence: Evidence) -> Iterator[Reason]:
    """A GPU ran below its clocks for part of the window: another run on a cooler day is faster."""
    yield from evidence.reason(
        "gpu_throttled",
        "SUSPECT",
        _throttled,
        "cool the machine, raise or fix the power limit, or lock the clocks (nvidia-smi -lgc), then measure again",
    )


def _throttled(r: MeasuredRepetition) -> str | None:
    if r.window is None:
        return None
    found = []
    for metric, words in THROTTLES.items():
        limit = limits.POWER_CAPPED_SHARE if metric == BY_POWER_CAP else limits.THROTTLED_SHARE
        for gpu, increase in _increases(r, metric):
            share = increase / NS_PER_S / r.window.length_s
            if share > limit:
                found.append(f"{gpu} was throttled by {words} for {share:.0%} of the window")
    return "; ".join(found) or None


def _increases(r: MeasuredRepetition, metric: str) -> list[tuple[str, float]]:
    """How much each GPU's counter rose over the window."""
    samples = r.telemetry(NVML, metric, margin_ns=EDGE_NS)
    return [(gpu, float(values[-1] - values[0])) for gpu, _, values in samples if values.size > 1]
