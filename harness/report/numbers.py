"""Numbers for people: scaling to the units of the screen (ms, %), digits, and what stands where there is no number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.metrics.results import Statistics, Value
from harness.report.shown import Cell
from harness.units import NS_PER_MS

# base unit → (factor, unit on screen)
SCREEN_UNITS: Mapping[str, tuple[float, str]] = {
    "ns": (1 / NS_PER_MS, "ms"),
    "per_s": (1.0, "per second"),
    "ratio": (100.0, "%"),
    "tokens": (1.0, "tokens"),
}
# what stands in place of a percentile that only tells for how long an overload was watched
OVERLOADED: Mapping[str, str] = {
    "not available: stopped, saturated": "stopped: saturated",
    "not available: unstable": "unstable",
}
NARROW_SPACE = "\u202f"


def on_screen(value: float, unit: str) -> float:
    """A number in its base unit, in the unit of the screen."""
    return value * SCREEN_UNITS.get(unit, (1.0, unit))[0]


def screen_unit(unit: str) -> str:
    """The unit on screen of a base unit."""
    return SCREEN_UNITS.get(unit, (1.0, unit))[1]


def digits(number: float) -> str:
    """Three significant digits, whole numbers from 100 on, groups of three from 10,000 on."""
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number to show")
    size = abs(number)
    if size >= 9_999.5:
        return f"{number:,.0f}".replace(",", NARROW_SPACE)
    if size >= 99.95:
        return f"{number:.0f}"
    if size >= 9.995:
        return f"{number:.1f}"
    if size >= 0.0995 or number == 0:
        return f"{number:.2f}" if number else "0"
    return f"{number:.2g}"


def overloaded(reason: str | None) -> str:
    """The word for a reason that stands for an overload; nothing for another."""
    return next((word for start, word in OVERLOADED.items() if (reason or "").startswith(start)), "")


def plain(value: Value) -> str:
    """A value in one string with its unit: `512 ms`, `> 4000 ms`, `needs 72 requests`."""
    if value.value is None:
        return value.reason or "not available"
    unit = screen_unit(value.unit)
    return f"{_sign(value)}{digits(on_screen(value.value, value.unit))}{'' if unit == '%' else ' '}{unit}"


def bare(value: Value) -> str:
    """A value that is there, without its unit: `512`, `> 4000`."""
    return _sign(value) + digits(on_screen(value.value or 0.0, value.unit))


def lookup(metrics: Mapping[str, Statistics], metric: str, statistic: str) -> Value:
    """The value of a metric's statistic; where the metric as a whole is not available, a value that says why."""
    statistics = metrics.get(metric, {})
    if statistic in statistics:
        return statistics[statistic]
    for value in statistics.values():
        if value.value is None and value.reason:
            return value
    return Value(None, "", 0, reason="not available: this version of the metrics does not have it")


def exactly(number: float) -> str:
    """A number a person wrote, as written: `400`, `0.5`, `1.25`."""
    return f"{number:.12g}"


@dataclass
class Footnotes:
    """Collects the reasons of one table, each once, and numbers them."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        """The number of this footnote, from 1."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def cell(value: Value, footnotes: Footnotes) -> Cell:
    """A value as a table cell. A short reason ("needs 72 requests") stands in the cell, a long one in a footnote."""
    if value.value is None:
        reason = value.reason or "not available"
        if reason.startswith("needs "):
            words, number, rest = reason.split(" ", 2)
            return Cell(f"{words} {number}", rest.replace(" (", ", ").removesuffix(")"), "missing")
        return Cell(overloaded(reason) or "n/a", kind="missing", footnote=footnotes.number(reason))
    return Cell(bare(value), span(value), "bound" if value.above or value.below else "value")


def span(value: Value) -> str:
    """The interval or range as text, open ends as such; nothing where it has no width to show."""
    if value.interval is None or (value.low is None and value.high is None):
        return ""
    low, high = (None if end is None else digits(on_screen(end, value.unit)) for end in (value.low, value.high))
    if low == high:
        return ""
    if high is None:
        return f"≥ {low}"
    return f"{low}–{high}" if low is not None else f"≤ {high}"


def _sign(value: Value) -> str:
    if value.above:
        return "> "
    return "< " if value.below else ""
