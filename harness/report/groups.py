"""Tables of parts of a cohort: by tenant where a run has several, by turn where it has conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.metrics.groups import Group
from harness.metrics.results import Value
from harness.report.numbers import plain, span
from harness.report.places import Place, overload
from harness.report.recorded import PointKey, Recorded
from harness.report.shown import Section, TextTable

Records = Mapping[PointKey, Recorded]


def tenants(found: Sequence[Place], records: Records) -> Section | None:
    """One table per point with several tenants; None where no point has them."""
    tables = [(place, records[place.key].tenants) for place in found if len(records[place.key].tenants) > 1]
    if not tables:
        return None
    text = (
        "Each tenant's own requests of the window. Goodput and attainment ask of each request the bounds of the "
        "scenario and those of its tenant."
    )
    return Section("tenants", "Tenants", (text,), tuple((p.label, _table("tenant", p, groups)) for p, groups in tables))


def turns(found: Sequence[Place], records: Records) -> Section | None:
    """One table per point with conversations; None where no point has them."""
    tables = [(place, records[place.key].turns) for place in found if records[place.key].turns]
    if not tables:
        return None
    text = (
        "Requests of the window by their turn in the conversation. Later turns repeat what was said before: a longer "
        "prompt, which a server that reuses its cache has seen."
    )
    return Section("turns", "Turns", (text,), tuple((p.label, _table("turn", p, groups)) for p, groups in tables))


def _table(what: str, place: Place, groups: Sequence[Group]) -> TextTable:
    bounded = any(group.goodput.value is not None for group in groups)
    headers = (what, "requests", "TTFT p50", "TTFT p95", "error ratio", *(("goodput", "attainment") if bounded else ()))
    return TextTable(headers, tuple(_row(group, overload(place), bounded=bounded) for group in groups))


def _row(group: Group, overloaded: str, *, bounded: bool) -> tuple[str, ...]:
    first = (overloaded or _text(group.time_to_first_token[statistic]) for statistic in ("p50", "p95"))
    within = (_text(group.goodput), _text(group.attainment)) if bounded else ()
    return (group.name, str(group.requests), *first, _text(group.error_ratio), *within)


def _text(value: Value) -> str:
    interval = span(value)
    return f"{plain(value)} ({interval})" if interval and value.value is not None else plain(value)
