"""Two sides beside each other in a terminal: what they are made of, and their metrics. For information: no verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.sides import Side
from harness.gate.comparable import blocking_differences, compare, other_differences, shown
from harness.gate.pairs import MetricKey
from harness.gate.stored_values import KEPT
from harness.gate.verdict import FieldComparison
from harness.metrics.results import POINT_VALUE, Value
from harness.report import numbers

STYLES = {"undeclared": "yellow", "unknown": "dim"}
LONGEST = 60  # characters of an identity value


def identity(console: Console, a: Side, b: Side, *, every: bool = False) -> None:
    """The identity fields: those that differ or are known on one side only; `every`: all of them."""
    compared = compare(a.identity, b.identity)
    rows = [field for field in compared if every or _worth_showing(field)]
    if rows:
        console.print(_identity_table(rows))
    same = sum(field.status == "same" for field in compared)
    console.print(f"identity: {same} of {len(compared)} fields are the same" + _unknown(compared), highlight=False)
    differences = blocking_differences(compared)
    if differences:
        names = ", ".join(field.name for field in differences)
        console.print(f"a gate would not compare these two: {names}", highlight=False, markup=False)
    elif others := other_differences(compared):
        names = ", ".join(field.name for field in others)
        console.print(f"a gate would compare them, and warn: {names}", highlight=False, markup=False)
    else:
        console.print("a gate would compare these two", highlight=False)


def metrics(console: Console, a: Side, b: Side, keys: Sequence[MetricKey] = KEPT) -> None:
    """The metrics side by side, with the change from A to B where both have a number."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    table.add_column("metric", no_wrap=True)
    for heading in ("A", "B", "B to A"):
        table.add_column(heading, justify="right")
    for row in _rows(a, b, keys):
        table.add_row(*map(Text, row))
    console.print(table)


def _rows(a: Side, b: Side, keys: Sequence[MetricKey]) -> Iterator[tuple[str, str, str, str]]:
    for key in keys:
        before, after = a.values.get(key), b.values.get(key)
        if before is not None or after is not None:
            yield name(key), _cell(before), _cell(after), _change(before, after)


def name(key: MetricKey) -> str:
    """`time_to_first_token p95`, `goodput`."""
    return key[0] if key[1] == POINT_VALUE else " ".join(key)


def _cell(value: Value | None) -> str:
    return "not kept" if value is None else numbers.plain(value)


def _change(a: Value | None, b: Value | None) -> str:
    """`+12.3%`; `+0.40 points` for shares; nothing where one has no plain number."""
    if a is None or b is None or a.value is None or b.value is None or a.above or a.below or b.above or b.below:
        return ""
    if b.unit == "ratio":
        return f"{100 * (b.value - a.value):+.2f} points"
    return "" if a.value == 0 else f"{b.value / a.value - 1:+.1%}"


def _worth_showing(field: FieldComparison) -> bool:
    return field.status == "undeclared" or (field.status == "unknown" and field.baseline != field.candidate)


def _identity_table(rows: Sequence[FieldComparison]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for heading in ("identity", "A", "B", ""):
        table.add_column(heading)
    for field in rows:
        mark = "" if field.status != "undeclared" else "blocks a gate" if field.blocking else "warns"
        said = "unknown" if field.status == "unknown" else mark
        cells = [field.name, _short(field.baseline), _short(field.candidate), said]
        table.add_row(*map(Text, cells), style=STYLES.get(field.status))
    return table


def _short(value: object) -> str:
    text = shown(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _unknown(compared: Sequence[FieldComparison]) -> str:
    neither = [field.name for field in compared if field.baseline is None and field.candidate is None]
    return f"; not known of either: {', '.join(neither)}" if neither else ""
