"""Whether a deployment of a sweep is beaten beyond doubt, from what was measured so far."""

from __future__ import annotations

import pyarrow as pa

from harness.analysis.pareto import dominated
from harness.metrics.results import POINT_VALUE
from harness.metrics.summary import summarise
from harness.records.manifest import Manifest
from harness.scenario.schema import Scenario

Levels = dict[tuple[str, float], tuple[float, float]]  # (workload, load) → (output tokens/s, TTFT p50)


def beaten_by(manifest: Manifest, scenario: Scenario, requests: pa.Table, deployment_id: str) -> str | None:
    """The deployment that beats this one at every load of every workload, if any. Its first repetitions must be in."""
    levels = _levels(manifest, requests)
    own = levels.get(deployment_id, {})
    if len(own) < scenario.number_of_points:
        return None
    for other, theirs in levels.items():
        if other == deployment_id or theirs.keys() != own.keys():
            continue
        if dominated([own[key] for key in sorted(own)], [theirs[key] for key in sorted(own)]):
            return other
    return None


def _levels(manifest: Manifest, requests: pa.Table) -> dict[str, Levels]:
    found: dict[str, Levels] = {}
    points = {point.point_id: point for point in manifest.points if point.purpose == "result"}
    for summary in summarise(manifest, requests):
        point = points.get(summary.point_id)
        rate = summary.metrics["output_token_throughput"][POINT_VALUE].value
        first = summary.metrics["time_to_first_token"]["p50"].value
        if point is not None and rate is not None and first is not None:
            load = float(point.concurrency or point.request_rate_per_s or 0)
            found.setdefault(point.deployment_id, {})[point.workload, load] = (rate, first)
    return found
