"""What bound a point: batch slots, the KV cache, max_num_tokens, a queue, computing, or the load itself.

Read from the server's own gauges (`analysis.gauges`). Where none tells, that is the answer: "unknown", and why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.analysis.gauges import Reading

FEWEST_SAMPLES = 2
FULL = 0.95  # of a limit: it counts as reached
CACHE_FULL = 0.85  # of the blocks: guaranteed_no_evict keeps the rest for answers not yet written
OFTEN = 0.5  # of the samples
FLAT = 0.5  # throughput grew by less than this share of the load's growth: more load brings no more

SLOTS, CACHE, TOKENS, QUEUE, COMPUTE, LOAD, UNKNOWN = (
    "batch slots",
    "KV cache",
    "max_num_tokens",
    "queue",
    "compute",
    "load",
    "unknown",
)


@dataclass(frozen=True)
class Bound:
    """One thing that bound a point, and what was seen. `by` UNKNOWN: why it cannot be told."""

    by: str
    seen: str


def bound_by(seen: Reading, max_num_tokens: int | None) -> list[Bound]:
    """What held the engine back, the tightest first; empty when nothing did: then it computed, or had too little load.

    `max_num_tokens`: the setting, as far as it is known; else what the server says.
    """
    before = _triton_queue(seen)
    if seen.samples < FEWEST_SAMPLES:
        return [before] if before is not None else [Bound(UNKNOWN, _why_unknown(seen))]
    told = seen.values.get("max_num_tokens")
    limit = max_num_tokens if max_num_tokens is not None or told is None else int(told.max())
    found = [before, _slots(seen), _tokens(seen, limit), _cache(seen)]
    bounds = [bound for bound in found if bound is not None]
    waiting = _often(seen.of("waiting") > 0)
    if not bounds and waiting >= OFTEN:
        text = f"{seen.of('waiting').mean():.1f} requests wait, though neither slots nor cache are full"
        return [Bound(QUEUE, text)]
    return bounds


def _why_unknown(seen: Reading) -> str:
    if not seen.lack:
        return f"{seen.samples} samples of the engine's gauges in the window; telemetry.period_s is too long"
    if seen.pending is None:
        return seen.lack
    return f"{seen.lack}; Triton's own queue held {seen.pending.mean():.1f} requests"


def _triton_queue(seen: Reading) -> Bound | None:
    """Requests that Triton has not handed to its backend, or that spent most of their time so."""
    pending = seen.pending
    if pending is not None and pending.size >= FEWEST_SAMPLES and (share := _often(pending > 0)) >= OFTEN:
        text = (
            f"{pending.mean():.1f} requests wait in Triton, before the engine ({share:.0%} of {pending.size} samples)"
        )
        return Bound(QUEUE, text)
    if seen.queued_share is not None and seen.queued_share >= OFTEN:
        return Bound(
            QUEUE, f"{seen.queued_share:.0%} of a request's time is spent in Triton's queue, before the engine"
        )
    return None


def unbound(level: float, value: float, below: tuple[float, float] | None, above: tuple[float, float] | None) -> Bound:
    """Of a point that nothing held back: did it compute all it could, or was there too little load?

    `below`, `above`: (load level, throughput) of the neighbouring points of its configuration, where there are any.
    """
    for (lower, less), (higher, more) in _steps((level, value), below, above):
        growth = more / less - 1 if less else 0.0
        if growth < FLAT * (higher / lower - 1):
            text = f"{higher / lower:.3g} times the load gave {1 + growth:.2f} times the throughput"
            return Bound(COMPUTE, text)
    if below is None and above is None:
        return Bound(UNKNOWN, "nothing waited; one load alone does not tell whether more would give more")
    return Bound(LOAD, "nothing waited, and throughput grew with the load: more load would give more")


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
