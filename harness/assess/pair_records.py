"""Recorded pairs from a run folder: the values of its pairs that are worth keeping, and how they came about."""

from __future__ import annotations

from datetime import UTC, datetime

from harness.assess.assess import scenario_of
from harness.assess.pairs import pairs_of
from harness.gate.declared import rule_of
from harness.gate.pairs import BASELINE, MetricKey
from harness.gate.recorded import Recorded, to_json
from harness.records.manifest import Manifest
from harness.records.store import RunFolder

BESIDES: tuple[MetricKey, ...] = (
    ("request_latency", "p95"),
    ("request_throughput", "value"),
    ("time_to_first_token", "p50"),
    ("time_per_output_token", "p50"),
)
"""Kept beside what gates: what a reader wants to see next to it."""


def recorded_json(folder: RunFolder) -> str:
    """The pairs of this run as the text of a pairs.json."""
    manifest = folder.manifest()
    gating = [metric.key for metric in rule_of(scenario_of(manifest)).metrics]
    recorded = Recorded(manifest.scenario_name, manifest.arms[BASELINE], _how(manifest), tuple(pairs_of(folder)))
    return to_json(recorded, list(dict.fromkeys([*gating, *BESIDES])))


def _how(manifest: Manifest) -> str:
    day = datetime.fromtimestamp(manifest.clock.wall_ns / 1e9, UTC).date()
    host = manifest.host
    return (
        f"harness {manifest.campaign.replace('_', ' ')}, run {manifest.run_id}, {day}, on {host.get('cpu_model')} with"
        f" {host.get('cpu_affinity')} cores"
    )
