"""Recorded pairs: the values of a campaign of pairs as a small JSON file, to judge again without its run folder.

    {"recorded_pairs_version": 1, "scenario": …, "target": …, "how": …, "first": [arm, …],
     "metrics": {"time_to_first_token.p95": {"unit": "ns", "baseline": [value, …], "candidate": [value, …]}}}

Values are in the units of the catalog, one per pair; null where there was none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from harness.gate.pairs import BASELINE, CANDIDATE, MetricKey, Pair
from harness.metrics.catalog import METRICS, METRICS_VERSION
from harness.metrics.results import Value

RECORDED_PAIRS_VERSION = 1
LIST = re.compile(r"\[\s+([^\[\]{}]*?)\s+\]")  # of plain values: shown on one line


@dataclass(frozen=True)
class Recorded:
    """Recorded pairs, and where they come from."""

    scenario: str
    target: str
    how: str  # the command, the machine, the day
    pairs: tuple[Pair, ...]


def to_json(recorded: Recorded, keys: Sequence[MetricKey]) -> str:
    """These metrics of the pairs that can be used, as JSON text."""
    usable = [pair for pair in recorded.pairs if not pair.invalid]
    metrics = {
        f"{metric}.{statistic}": {
            "unit": METRICS[metric].unit,
            BASELINE: [_number(pair.baseline.get((metric, statistic))) for pair in usable],
            CANDIDATE: [_number(pair.candidate.get((metric, statistic))) for pair in usable],
        }
        for metric, statistic in keys
    }
    content = {
        "recorded_pairs_version": RECORDED_PAIRS_VERSION,
        "metrics_version": METRICS_VERSION,
        "scenario": recorded.scenario,
        "target": recorded.target,
        "how": recorded.how,
        "first": [pair.first for pair in usable],
        "metrics": metrics,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return LIST.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def from_json(text: str, name: str) -> Recorded:
    """The recorded pairs in this text of the file `name`. Raises UsageError when it holds none."""
    try:
        content = json.loads(text)
        if content["recorded_pairs_version"] != RECORDED_PAIRS_VERSION:
            raise ValueError(f"recorded_pairs_version is {content['recorded_pairs_version']!r}")
        metrics = {_key(label): arms for label, arms in content["metrics"].items()}
        pairs = [_pair(index, first, metrics) for index, first in enumerate(content["first"])]
        return Recorded(content["scenario"], content["target"], content["how"], tuple(pairs))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(
            f"{name} holds no recorded pairs: {error}",
            hint="`harness gate aa SCENARIO` writes pairs.json in its run folder",
        ) from error


def _pair(index: int, first: str, metrics: Mapping[MetricKey, Mapping[str, Any]]) -> Pair:
    arms: dict[str, dict[MetricKey, Value]] = {
        arm: {key: _value(values[arm][index], values["unit"]) for key, values in metrics.items()}
        for arm in (BASELINE, CANDIDATE)
    }
    return Pair(index=index, first=first, baseline=arms[BASELINE], candidate=arms[CANDIDATE])


def _key(label: str) -> MetricKey:
    metric, _, statistic = label.partition(".")
    if metric not in METRICS or not statistic:
        raise ValueError(f"{label!r} is no metric with a statistic")
    return metric, statistic


def _value(number: float | None, unit: str) -> Value:
    return Value(number, unit, 1, reason=None if number is not None else "not available: not recorded")


def _number(value: Value | None) -> float | None:
    """A value that is only known to be above or below is none: as a number it would claim too much."""
    return None if value is None or value.above or value.below else value.value
