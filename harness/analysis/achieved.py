"""Reasons about the load that really was: asked against achieved, ours against the server's count, Little's law."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from harness.analysis import thresholds as limits
from harness.analysis.arrival_laws import streams
from harness.analysis.evidence import Evidence, MeasuredRepetition
from harness.analysis.littles_law import littles_law
from harness.metrics.columns import known
from harness.metrics.flow import mean_between
from harness.metrics.results import Reason
from harness.metrics.window import STOPPED_SATURATED

SERVER_GAUGE = "nv_trt_llm_request_metrics.active"


def achieved_concurrency(evidence: Evidence) -> Iterator[Reason]:
    """A closed loop whose users were not all waiting for an answer: the point is not the one its name says."""
    yield from evidence.reason(
        "achieved_concurrency",
        "SUSPECT",
        _concurrency,
        "failures make users back off: read the errors; without any, the load generator was too slow between requests",
    )


def _concurrency(r: MeasuredRepetition) -> str | None:
    asked, window = r.point.concurrency, r.window
    if asked is None or window is None or not r.cohort.any() or _users_think(r):
        return None
    sent = known(r.rows.sent_ns)
    edges = np.asarray([window.start_ns, window.end_ns])
    achieved = float(mean_between(r.rows.sent_ns[sent], r.ended_ns[sent], edges)[0])
    if abs(achieved - asked) <= limits.ACHIEVED_DEVIATION * asked:
        return None
    return f"{achieved:.2f} requests in flight on average, {asked} asked"


def _users_think(r: MeasuredRepetition) -> bool:
    """Whether the plan lets users pause between the turns of a session; without a plan, whether there are turns."""
    turns = r.rows.table["turn"]
    if turns.null_count == len(turns):
        return False
    plan = r.beside.plan
    return plan is None or bool(pc.any(pc.greater(plan["think_time_ns"], 0)).as_py())


def achieved_rate(evidence: Evidence) -> Iterator[Reason]:
    """An open loop that sent more or fewer requests per second than its name says."""
    yield from evidence.reason(
        "achieved_rate",
        "SUSPECT",
        lambda r: "; ".join([*_sent_against_intended(r), *_intended_against_asked(r)]) or None,
        "sent against intended: the load generator was too slow; intended against asked: lengthen the window",
    )


def _sent_against_intended(r: MeasuredRepetition) -> Iterator[str]:
    if not r.open_loop or r.window is None or r.measurement.ended == STOPPED_SATURATED or r.concurrency_cap is not None:
        return
    intended, sent = int(r.cohort.sum()), int(r.window.holds(r.rows.sent_ns).sum())
    if abs(sent - intended) > max(2.0, limits.ACHIEVED_DEVIATION * intended, limits.RATE_SIGMAS * math.sqrt(intended)):
        yield f"{sent} requests sent in the window, {intended} intended"


def _intended_against_asked(r: MeasuredRepetition) -> Iterator[str]:
    if r.window is None or r.measurement.ended == STOPPED_SATURATED:
        return
    for stream in streams(r.beside.load, r):
        if stream.law is None:
            continue
        edges = stream.law.expected(np.asarray([r.window.start_ns, r.window.end_ns]))
        asked, intended = float(edges[1] - edges[0]), int((r.cohort & stream.rows).sum())
        noise = limits.RATE_SIGMAS * math.sqrt(asked / stream.law.shape)
        if abs(intended - asked) > max(2.0, limits.ACHIEVED_DEVIATION * asked, noise):
            who = f" of tenant {stream.name}" if stream.name else ""
            yield f"{intended} arrivals{who} intended in the window, {asked:.0f} at the rate asked"


def littles_law_broken(evidence: Evidence) -> Iterator[Reason]:
    """Mean in flight is not rate × residence: the window was not stationary, or records are wrong."""
    yield from evidence.reason(
        "littles_law",
        "SUSPECT",
        _little,
        "lengthen the warm-up and the window; in an open loop the rate may be more than the target carries",
    )


def _little(r: MeasuredRepetition) -> str | None:
    if r.window is None:
        return None
    begun = known(r.rows.sent_ns)
    law = littles_law(r.rows.sent_ns[begun], r.ended_ns[begun], r.window.start_ns, r.window.end_ns)
    if law is None or law.deviation <= limits.LITTLE_DEVIATION + law.edge_share:
        return None
    return (
        f"{law.in_flight:.2f} in flight on average, but {law.arrivals_per_s:.2f} requests/s × {law.residence_s:.3f} s"
        f" = {law.predicted:.2f} ({law.deviation:.0%} apart)"
    )


def server_in_flight(evidence: Evidence) -> Iterator[Reason]:
    """The server works on more requests than ours, or knows of far fewer."""
    yield from evidence.reason(
        "server_in_flight",
        "SUSPECT",
        _against_server,
        "more than ours: keep other clients away from the server; fewer: requests wait before the engine "
        "(gateway, rate limiter, too few model instances)",
    )


def _against_server(r: MeasuredRepetition) -> str | None:
    found = r.telemetry(None, SERVER_GAUGE)
    if not found or any(instants.size < limits.FEWEST_SAMPLES for _, instants, _ in found):
        return None
    ours = float(np.mean([r.in_flight_at(instants).mean() for _, instants, _ in found]))
    server = float(sum(values.mean() for _, _, values in found))
    more = server > ours * (1 + limits.SERVER_MORE_SHARE) + limits.SERVER_MORE_REQUESTS
    most = float(sum(values.max() for _, _, values in found))  # the gauge stands at 0 between short requests
    less = most < ours * limits.SERVER_LESS_SHARE - limits.SERVER_LESS_REQUESTS
    if not (more or less):
        return None
    return f"the server counts {server:.1f} requests in flight on average, we count {ours:.1f}"
