"""The schedule of an open loop in words and as a table: what was meant to be sent, what was, and how late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.analysis.thresholds import LATE_ARRIVAL_MS
from harness.metrics.results import POINT_VALUE
from harness.metrics.schedule import offered_rate, unsent
from harness.report.numbers import plain, span
from harness.report.places import Place, overload
from harness.report.recorded import PointKey, Recorded
from harness.report.shown import Section, TextTable

LATE = f"over {LATE_ARRIVAL_MS:g} ms late"
ORIGIN = (
    "TTFT and latency count from the intended instant of each request, so that waiting to be sent is in the numbers, "
    "as it would be for a caller. Schedule lag is how long after that instant a request left."
)


def section(found: Sequence[Place], records: Mapping[PointKey, Recorded]) -> Section | None:
    """The section; None for a closed loop, which has no schedule."""
    opened = [place for place in found if place.open_loop and place.summary is not None]
    if not opened:
        return None
    headers = ("point", "planned", "offered", "served", "never sent", LATE, "lag p50", "lag p99", "lag max")
    rows = tuple(_row(place, records[place.key]) for place in opened)
    texts = (ORIGIN, _sentence(opened, records))
    return Section("schedule", "The schedule: offered, sent, served", texts, (("", TextTable(headers, rows)),))


def _sentence(opened: Sequence[Place], records: Mapping[PointKey, Recorded]) -> str:
    arrivals = sum(r.cohort for place in opened if place.summary for r in place.summary.repetitions)
    missing = sum(unsent(place.summary) for place in opened if place.summary)
    late = sum(records[place.key].sent_late for place in opened)
    if not missing and not late:
        return f"All {arrivals} arrivals of the windows were sent, none {LATE}."
    return f"Of {arrivals} arrivals of the windows, {missing} were never sent and {late} were sent {LATE}."


def _row(place: Place, recorded: Recorded) -> tuple[str, ...]:
    assert place.summary is not None
    offered = offered_rate(place.summary)
    rates = (offered, place.value("request_throughput", POINT_VALUE))
    planned = place.point.request_rate_per_s
    return (
        place.label,
        "–" if planned is None else f"{planned:.4g} {place.unit}",
        *(f"{plain(rate)} ({interval})" if (interval := span(rate)) else plain(rate) for rate in rates),
        str(unsent(place.summary)),
        str(recorded.sent_late),
        *(overload(place) or plain(place.value("schedule_lag", statistic)) for statistic in ("p50", "p99", "max")),
    )
