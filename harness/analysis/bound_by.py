"""What bound a point: batch slots, the KV cache, max_num_tokens, a queue, computing, or the load itself.

Read from TensorRT-LLM's own gauges (`facts/trtllm.md` §6.5), sampled in the point's windows. They show the latest
iteration of the engine, so a share of samples is a share of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.metrics.columns import Floats

REQUEST, KV, BATCHER = (f"nv_trt_llm_{family}_metrics" for family in ("request", "kv_cache_block", "inflight_batcher"))
GAUGES = {
    f"{REQUEST}.active": "active",
    f"{REQUEST}.max": "slots",
    f"{REQUEST}.scheduled": "scheduled",
    f"{REQUEST}.waiting": "waiting",
    f"{KV}.used": "used_blocks",
    f"{KV}.max": "blocks",
    f"{BATCHER}.total_context_tokens": "context_tokens",
    f"{BATCHER}.generation_requests": "generating",
    f"{BATCHER}.paused_requests": "paused",
}
NEEDED = ("active", "slots", "scheduled", "waiting")

FEWEST_SAMPLES = 2
FULL = 0.95  # of a limit: it counts as reached
CACHE_FULL = 0.85  # of the blocks: guaranteed_no_evict keeps the rest for answers not yet written
OFTEN = 0.5  # of the samples
FLAT = 0.5  # throughput grew by less than this share of the load's growth: more load brings no more

SLOTS, CACHE, TOKENS, QUEUE, COMPUTE, LOAD = (
    "batch slots",
    "KV cache",
    "max_num_tokens",
    "queue",
    "compute",
    "load",
)


@dataclass(frozen=True)
class Bound:
    """One thing that bound a point, and what was seen. `by` "not available": why it cannot be told."""

    by: str
    seen: str


@dataclass(frozen=True)
class Reading:
    """The gauges in the windows of one point: name of `GAUGES` → values, in step with each other."""

    values: Mapping[str, Floats]

    @property
    def samples(self) -> int:
        """How often the page was read."""
        return int(self.values["active"].size) if "active" in self.values else 0

    def of(self, name: str) -> Floats:
        """A gauge's values; zeros where the server does not have it."""
        return self.values.get(name, np.zeros(self.samples))


def reading(telemetry: pa.Table, windows: Sequence[tuple[int, int]]) -> Reading:
    """The gauges within these windows (ns). `telemetry` has schema TELEMETRY. Samples that lack one are left out."""
    inside = pc.is_in(telemetry["metric"], value_set=pa.array(list(GAUGES)))
    rows = telemetry.filter(inside).select(["time_ns", "metric", "value"])
    by_time: dict[int, dict[str, float]] = {}
    for row in rows.to_pylist():
        if any(start <= row["time_ns"] < end for start, end in windows):
            by_time.setdefault(row["time_ns"], {})[GAUGES[row["metric"]]] = row["value"]
    whole = [sample for _, sample in sorted(by_time.items()) if all(name in sample for name in NEEDED)]
    names = [name for name in GAUGES.values() if whole and all(name in sample for sample in whole)]
    return Reading({name: np.asarray([sample[name] for sample in whole], dtype=np.float64) for name in names})


def bound_by(seen: Reading, max_num_tokens: int | None) -> list[Bound]:
    """What held the engine back, the tightest first; empty when nothing did: then it computed, or had too little load.

    `max_num_tokens`: the setting, as far as it is known.
    """
    if seen.samples < FEWEST_SAMPLES:
        return [Bound("not available", f"{seen.samples} samples of the engine's gauges in the window")]
    found = [_slots(seen), _tokens(seen, max_num_tokens), _cache(seen)]
    bounds = [bound for bound in found if bound is not None]
    waiting = _often(seen.of("waiting") > 0)
    if not bounds and waiting >= OFTEN:
        text = f"{seen.of('waiting').mean():.1f} requests wait, though neither slots nor cache are full"
        return [Bound(QUEUE, text)]
    return bounds


def unbound(level: float, value: float, below: tuple[float, float] | None, above: tuple[float, float] | None) -> Bound:
    """Of a point that nothing held back: did it compute all it could, or was there too little load?

    `below`, `above`: (load level, throughput) of the neighbouring points of its configuration, where there are any.
    """
    for (lower, less), (higher, more) in _steps((level, value), below, above):
        growth = more / less - 1 if less else 0.0
        if growth < FLAT * (higher / lower - 1):
            text = f"{higher / lower:.3g} times the load gave {1 + growth:.2f} times the throughput"
            return Bound(COMPUTE, text)
    return Bound(LOAD, "slots were free and nothing waited: more load would give more")


def _steps(
    own: tuple[float, float], below: tuple[float, float] | None, above: tuple[float, float] | None
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """The step up from this point, else the one up to it."""
    if above is not None:
        return [(own, above)]
    return [(below, own)] if below is not None else []


def _slots(seen: Reading) -> Bound | None:
    share = _often((seen.of("scheduled") >= FULL * seen.of("slots")) & (seen.of("waiting") > 0))
    if share < OFTEN:
        return None
    return Bound(
        SLOTS,
        f"all {seen.of('slots').max():.0f} slots taken while {seen.of('waiting').mean():.1f} requests wait"
        f" ({share:.0%} of {seen.samples} samples)",
    )


def _tokens(seen: Reading, limit: int | None) -> Bound | None:
    """Steps that are full of tokens while prompts are being computed."""
    if limit is None:
        return None
    taken = seen.of("context_tokens") + seen.of("generating")
    share = _often((taken >= FULL * limit) & (seen.of("context_tokens") > 0))
    if share < OFTEN:
        return None
    return Bound(
        TOKENS, f"steps hold {taken.mean():.0f} of {limit} tokens ({share:.0%} of {seen.samples} samples full)"
    )


def _cache(seen: Reading) -> Bound | None:
    blocks = seen.of("blocks")
    used = np.divide(seen.of("used_blocks"), blocks, out=np.zeros(seen.samples), where=blocks > 0)
    short_of_slots = seen.of("scheduled") < FULL * seen.of("slots")
    full = ((used >= CACHE_FULL) & (seen.of("waiting") > 0) & short_of_slots) | (seen.of("paused") > 0)
    share = _often(full)
    if share < OFTEN:
        return None
    paused = seen.of("paused").mean()
    more = f", {paused:.1f} requests paused" if paused > 0 else ""
    return Bound(CACHE, f"{used.mean():.0%} of the blocks used{more} ({share:.0%} of {seen.samples} samples)")


def _often(condition: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(np.mean(condition)) if condition.size else 0.0
