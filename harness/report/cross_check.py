"""The cross-check of two drivers, as `cross_check.json` has it: a table per point with agree, differ or cannot tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.errors import RunFolderError
from harness.metrics.results import POINT_VALUE
from harness.report.numbers import digits, on_screen, screen_unit
from harness.report.shown import Section, TextTable

FILE = "cross_check.json"
WORDS = {
    "agree": "The two drivers agree",
    "differ": "The two drivers differ: one of them is wrong, or the server changed between the two",
    "cannot tell": "It cannot be told whether the two drivers agree",
}
HOW = (
    "Each point was measured with two drivers. Values with the hull of their repetitions' 95% intervals, ± the stated "
    "error of the instrument. They agree when no difference beyond errors and tolerance is left possible."
)


def section(text: str | None) -> Section | None:
    """The section for the text of the file; None without one. Raises RunFolderError when it is damaged."""
    if text is None:
        return None
    try:
        points = json.loads(text)["points"]
        tables = tuple((f"{p['point_id']}: {p['verdict']}", _table(p["values"])) for p in points)
        verdicts = [point["verdict"] for point in points]
    except (ValueError, TypeError, KeyError) as error:
        raise RunFolderError(f"{FILE} is damaged: {error}", hint="remove it, then harness report again") from error
    said = [
        f"{words}: {count} of {len(points)} points."
        for verdict, words in WORDS.items()
        if (count := verdicts.count(verdict))
    ]
    return Section("cross-check", "Cross-check: two drivers, the same points", (*said, HOW), tables)


def _table(values: list[Mapping[str, Any]]) -> TextTable:
    rows = tuple(
        (
            each["metric"] if each["statistic"] == POINT_VALUE else f"{each['metric']} {each['statistic']}",
            *(_seen(each[side], each["unit"]) for side in ("left", "right")),
            f"{each['verdict']}: {each['reason']}" if each["reason"] else each["verdict"],
        )
        for each in values
    )
    return TextTable(("metric", "Locust", "perf_analyzer", "verdict"), rows)


def _seen(seen: Mapping[str, float] | None, unit: str) -> str:
    if seen is None:
        return "–"
    value, low, high, error = (digits(on_screen(seen[name], unit)) for name in ("value", "low", "high", "error"))
    interval = f" ({low}–{high})" if low != high else ""
    return f"{value}{interval}{f' ± {error}' if seen['error'] else ''} {screen_unit(unit)}"
