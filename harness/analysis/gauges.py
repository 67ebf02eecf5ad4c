"""A server's own gauges in the windows of a point, from whatever page it has: three families, one set of names.

`nv_trt_llm_*` of TensorRT-LLM's C++ backend (and of our engines), `trtllm_*` of trtllm-serve, and Triton's own
`nv_inference_*`, which every Triton has: the last tell only of what waits before the engine. The LLM API's model
registers no gauge of its engine. Names: `facts/trtllm.md` §4.6, §6.4, §6.5; trtllm-serve's have not been read from a
real one yet. Engine gauges show the latest iteration, so a share of samples is a share of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.metrics.columns import Floats

REQUEST, KV, BATCHER = (f"nv_trt_llm_{family}_metrics" for family in ("request", "kv_cache_block", "inflight_batcher"))
TRITON_BACKEND = {
    f"{REQUEST}.max": "slots",
    f"{REQUEST}.scheduled": "scheduled",
    f"{REQUEST}.waiting": "waiting",
    f"{KV}.used": "used_blocks",
    f"{KV}.max": "blocks",
    f"{BATCHER}.total_context_tokens": "context_tokens",
    f"{BATCHER}.generation_requests": "generating",
    f"{BATCHER}.paused_requests": "paused",
}
SERVE = {
    "trtllm_max_batch_size_runtime": "slots",
    "trtllm_num_scheduled_requests": "scheduled",
    "trtllm_num_requests_waiting": "waiting",
    "trtllm_kv_cache_used_blocks": "used_blocks",
    "trtllm_kv_cache_max_blocks": "blocks",
    "trtllm_total_context_tokens": "context_tokens",
    "trtllm_num_generation_requests": "generating",
    "trtllm_num_paused_requests": "paused",
    "trtllm_max_num_tokens_runtime": "max_num_tokens",
}
FAMILIES = (TRITON_BACKEND, SERVE)
NEEDED = ("slots", "scheduled", "waiting")
PENDING = "nv_inference_pending_request_count"
QUEUED_US, TAKEN_US = "nv_inference_queue_duration_us", "nv_inference_request_duration_us"

NO_PAGE = "no metrics page was read in the windows of this point"
NO_GAUGES = "the server's metrics page has no gauge of its engine (the LLM API's model registers none)"
SEVERAL = "the metrics page tells of {n} engines, and which of them a request went to is not known"

Series = dict[int, float]  # time (ns) → value
Keyed = dict[tuple[str, str, str], Series]  # (source and entity, metric, its further labels) → series


@dataclass(frozen=True)
class Reading:
    """The engine's gauges in the windows of one point: name → values, in step with each other.

    Where there are none, `lack` says why. `pending`: requests in Triton's own queue, a value per sample;
    `queued_share`: the share of a request's time in it, of the model where it is largest; None where not told.
    """

    values: Mapping[str, Floats]
    lack: str = ""
    pending: Floats | None = None
    queued_share: float | None = None

    @property
    def samples(self) -> int:
        """How often the engine's gauges were read."""
        return int(self.values["slots"].size) if "slots" in self.values else 0

    def of(self, name: str) -> Floats:
        """A gauge's values; zeros where the server does not have it."""
        return self.values.get(name, np.zeros(self.samples))


def reading(telemetry: pa.Table, windows: Sequence[tuple[int, int]], why_no_page: str | None = None) -> Reading:
    """The gauges within these windows (ns). `telemetry` has schema TELEMETRY. Samples that lack a needed one are left
    out. `why_no_page`: why the page could not be read, where that is known."""
    rows = _within(telemetry.filter(pc.equal(telemetry["source"], "prometheus")), windows)
    keyed = _keyed(rows)
    pending = _pending(keyed)
    share = max((s for window in windows for s in _queued_shares(telemetry, window)), default=None)
    engines = [found for family in FAMILIES for found in _engines(keyed, family)]
    if len(engines) == 1:
        return Reading(engines[0], "", pending, share)
    lack = SEVERAL.format(n=len(engines)) if engines else NO_GAUGES if keyed else NO_PAGE
    if lack == NO_PAGE and why_no_page:
        lack += f": {why_no_page}"
    return Reading({}, lack, pending, share)


def _within(telemetry: pa.Table, windows: Sequence[tuple[int, int]]) -> pa.Table:
    inside = pa.array(np.zeros(len(telemetry), dtype=bool))
    for start, end in windows:
        within = pc.and_(pc.greater_equal(telemetry["time_ns"], start), pc.less(telemetry["time_ns"], end))
        inside = pc.or_(inside, within)
    return telemetry.filter(inside)


def _keyed(rows: pa.Table) -> Keyed:
    found: Keyed = {}
    known = {*TRITON_BACKEND, *SERVE}
    for row in rows.select(["time_ns", "entity", "metric", "value"]).to_pylist():
        metric, labels = row["metric"], ""
        if metric not in known and metric.startswith("trtllm_"):
            metric, _, labels = metric.partition(".")
        found.setdefault((row["entity"], metric, labels), {})[row["time_ns"]] = row["value"]
    return found


def _engines(keyed: Keyed, family: Mapping[str, str]) -> Iterator[dict[str, Floats]]:
    """The gauges of every engine that the page tells of, each with all that are needed."""
    for entity, labels in dict.fromkeys((entity, labels) for entity, _, labels in keyed):
        own = {
            name: keyed[entity, metric, labels] for metric, name in family.items() if (entity, metric, labels) in keyed
        }
        if not all(name in own for name in NEEDED):
            continue
        times = sorted(set.intersection(*(set(own[name]) for name in NEEDED)))
        whole = {name: series for name, series in own.items() if all(at in series for at in times)}
        yield {name: np.asarray([series[at] for at in times], dtype=np.float64) for name, series in whole.items()}


def _pending(keyed: Keyed) -> Floats | None:
    """Requests of all models that Triton has not handed on, at each sample."""
    total: Series = {}
    for (_, metric, _), series in keyed.items():
        for at, value in series.items() if metric == PENDING else ():
            total[at] = total.get(at, 0.0) + value
    return np.asarray([total[at] for at in sorted(total)], dtype=np.float64) if total else None


def _queued_shares(telemetry: pa.Table, window: tuple[int, int]) -> Iterator[float]:
    """Of each model, the share of its requests' time that they waited in Triton's queue, in one window."""
    counters = pc.is_in(telemetry["metric"], value_set=pa.array([QUEUED_US, TAKEN_US]))
    keyed = _keyed(_within(telemetry.filter(counters), [window]))
    for entity in dict.fromkeys(entity for entity, _, _ in keyed):
        queued, taken = (_growth(keyed.get((entity, metric, ""), {})) for metric in (QUEUED_US, TAKEN_US))
        if taken > 0:
            yield queued / taken


def _growth(series: Series) -> float:
    """How much a counter grew from its first to its last sample; 0 where it was set back."""
    return max(0.0, series[max(series)] - series[min(series)]) if len(series) > 1 else 0.0
