"""Values as a baseline stores them: under a name that says the unit, with six digits, and "more than" kept apart.

`time_to_first_token.p95_ms` is 52.3456; a percentile that fell among failed requests is `{"above": 120000.0}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import FiniteFloat

from harness.gate.pairs import MetricKey
from harness.metrics.catalog import METRICS
from harness.metrics.results import POINT_VALUE, Value
from harness.scenario.strict import Strict
from harness.units import NS_PER_MS

# Kept besides what the rule and the objectives of the scenario name: enough to see what changed, few enough to review.
KEPT: tuple[MetricKey, ...] = (
    *(("time_to_first_token", statistic) for statistic in ("p50", "p95", "p99")),
    *(("time_per_output_token", statistic) for statistic in ("p50", "p95")),
    *(("request_latency", statistic) for statistic in ("p50", "p95")),
    ("request_throughput", POINT_VALUE),
    ("output_token_throughput", POINT_VALUE),
    ("total_token_throughput", POINT_VALUE),
    ("goodput", POINT_VALUE),
    ("attainment", POINT_VALUE),
    ("error_ratio", POINT_VALUE),
    ("input_tokens", "mean"),
    ("output_tokens", "mean"),
)


class Beyond(Strict):
    """A value that is only known to lie above (below) a number."""

    above: FiniteFloat | None = None
    below: FiniteFloat | None = None


Stored = FiniteFloat | Beyond


def stored_name(key: MetricKey) -> str:
    """The name of a value in a baseline: `time_to_first_token.p95_ms`, `goodput`."""
    metric, statistic = key
    name = metric if statistic == POINT_VALUE else f"{metric}.{statistic}"
    return f"{name}_ms" if METRICS[metric].unit == "ns" else name


def key_of(name: str) -> MetricKey | None:
    """The metric and statistic behind a stored name; None for a metric that this version does not know."""
    metric, _, statistic = name.partition(".")
    if metric not in METRICS:
        return None
    return metric, statistic.removesuffix("_ms") or POINT_VALUE


def to_store(values: Mapping[MetricKey, Value], wanted: Sequence[MetricKey]) -> dict[str, Stored]:
    """The available ones among KEPT and `wanted`, by name."""
    kept = {key: values[key] for key in (*KEPT, *wanted) if key in values}
    return {stored_name(key): stored for key, value in kept.items() if (stored := _stored(value)) is not None}


def from_store(stored: Mapping[str, Stored]) -> dict[MetricKey, Value]:
    """What was stored, in the units of the catalog."""
    found = {key: (METRICS[key[0]].unit, value) for name, value in stored.items() if (key := key_of(name)) is not None}
    return {key: _value(value, unit) for key, (unit, value) in found.items()}


def _stored(value: Value) -> Stored | None:
    if value.value is None:
        return None
    number = _six_digits(value.value / NS_PER_MS if value.unit == "ns" else value.value)
    if value.above or value.below:
        return Beyond(above=number if value.above else None, below=number if value.below else None)
    return number


def _value(stored: Stored, unit: str) -> Value:
    scale = NS_PER_MS if unit == "ns" else 1
    if isinstance(stored, Beyond):
        number = stored.above if stored.above is not None else stored.below
        above, below = stored.above is not None, stored.below is not None
        return Value(None if number is None else number * scale, unit, 0, above=above, below=below)
    return Value(stored * scale, unit, 0)


def _six_digits(number: float) -> float:
    return float(f"{number:.6g}")
