"""Numbers of a gate in words: losses in percent or points, values in the unit of the screen, names of metrics."""

from __future__ import annotations

import math
from statistics import median

from harness.gate.verdict import MetricVerdict
from harness.metrics.results import POINT_VALUE
from harness.report.curves import SHORT_TITLES
from harness.report.numbers import digits, on_screen, screen_unit

NONE = "–"
LARGEST_D = 700.0  # beyond, exp overflows
POINTS = "difference"  # the kind whose numbers are ratio points
TITLES = {"output_tokens": "output length", "input_tokens": "input length"}
METHODS = {
    "t": "paired t",
    "signed_rank": "signed ranks, exact",
    "sign": "signs, exact",
    "value": "value, no spread",
    "prediction": "prediction interval",
    "early_stopping": "early-stopping binomial test",
}


def name(metric: str, statistic: str) -> str:
    """`TTFT p95`, `goodput`: short, as in the table of points; a length is always its mean."""
    short = SHORT_TITLES.get(metric) or TITLES.get(metric) or metric.replace("_", " ")
    return short if statistic == POINT_VALUE or metric in TITLES else f"{short} {statistic}"


def loss(number: float | None, kind: str, *, signed: bool = True, unit: bool = True) -> str:
    """A loss or a margin: `+7.1%`, or `+0.40 pt` (percentage points) for a difference of shares."""
    if number is None:
        return NONE
    sign = "+" if signed else ""
    end = "" if not unit else " pt" if kind == POINTS else "%"
    if math.isinf(number):
        return f"{'+' if number > 0 else '−'}∞"
    hundred = 100 * number
    decimals = 2 if kind == POINTS else 1 if abs(hundred) < 99.95 else 0
    shown = f"{hundred:{sign}.{decimals}f}"
    if float(shown) == 0:
        shown = shown.lstrip("+-")
    return shown.replace("-", "−") + end


def interval(low: float | None, high: float | None, kind: str) -> str:
    """`[+5.0, +9.3]`."""
    if low is None and high is None:
        return NONE
    ends = (loss(end, kind, unit=False) if end is not None else "?" for end in (low, high))
    return f"[{', '.join(ends)}]"


def margin(number: float | None, kind: str) -> str:
    """The margin as it was fixed: `5%`, `±10%`, `1 pt`."""
    if number is None:
        return NONE
    shown = f"{100 * number:.4g}"
    if kind == POINTS:
        return f"{shown} pt"
    return f"±{shown}%" if kind == "equivalence" else f"{shown}%"


def value(number: float | None, unit: str) -> str:
    """A value of a metric: `512 ms`, `1.25%`."""
    if number is None:
        return NONE
    if math.isinf(number):
        return "∞"
    of_screen = screen_unit(unit)
    space = "" if of_screen == "%" else " "
    return f"{digits(on_screen(number, unit))}{space}{'/s' if of_screen == 'per second' else of_screen}".strip()


def middle(verdict: MetricVerdict, arm: str) -> float | None:
    """The median of one arm's values over the pairs; None without any."""
    seen = [v for pair in verdict.values if (v := getattr(pair, arm)) is not None]
    return median(seen) if seen else None


def method(word: str | None) -> str:
    """How the interval was made."""
    return NONE if word is None else METHODS.get(word, word.replace("_", " "))


def loss_of(d: float) -> float:
    """The relative loss of a log ratio: exp(d) - 1."""
    return math.expm1(d) if d < LARGEST_D else math.inf
