"""Whether a point can be believed: VALID, SUSPECT or INVALID, with reasons that say what to do.

One function per reason, all of them in REASONS; each looks at the evidence and yields what it finds. A new reason is a
function and a line in the table. INVALID points are shown and marked, and never gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis import achieved, client, hardware, reuse, schedule, steadiness, token_counts
from harness.analysis.evidence import Beside, Evidence, MeasuredRepetition, evidence_for
from harness.analysis.thresholds import PERCENTILES_WANTED, UNUSABLE_SHARE
from harness.metrics.columns import by_repetition, known
from harness.metrics.order_statistics import smallest_n
from harness.metrics.percentile import PERCENTILES
from harness.metrics.results import PointSummary, Reason, Validity
from harness.metrics.window import STOPPED_SATURATED, expected_phases, origins
from harness.records.manifest import Manifest
from harness.records.schemas import PHASES

INVALID, SUSPECT, VALID = "INVALID", "SUSPECT", "VALID"
WORST_FIRST = (INVALID, SUSPECT, VALID)
OWN_COMMAND = ("sweep", "size")  # campaigns that are not resumed by `harness run`
UNUSABLE_REPETITIONS = "unusable_repetitions"  # the one reason outside the table: it is about the others


def judge(
    manifest: Manifest,
    requests: pa.Table,
    summaries: Sequence[PointSummary],
    percentiles: Sequence[tuple[str, str]] = (),
    beside: Beside | None = None,
) -> dict[str, Validity]:
    """The validity of every point of the manifest, by its key.

    `requests` has schema REQUESTS; `percentiles`: (metric, statistic) pairs that objectives need; `beside`: what else
    the run folder holds. What is not given silences the reasons that need it.
    """
    tables = by_repetition(requests)
    wanted = list(dict.fromkeys([*PERCENTILES_WANTED, *percentiles]))
    by_point = {summary.key: summary for summary in summaries}
    pruned = {d.deployment_id for d in manifest.deployments if d.pruned is not None}
    found = {}
    for point in manifest.points:
        evidence = evidence_for(manifest, tables, point, by_point[point.key], wanted, beside or Beside())
        if point.deployment_id in pruned and evidence.repetitions:
            evidence = evidence.only(evidence.repetitions)  # what a sweep chose not to measure is not missing
        reasons = reasons_for(evidence) if point.arm is None else _of_arm(evidence)
        found[point.key] = _validity([_resumed_by(manifest.campaign, reason) for reason in reasons])
    return found


def _resumed_by(campaign: str, reason: Reason) -> Reason:
    """The reason with the command that goes on with this kind of run folder."""
    if campaign not in OWN_COMMAND:
        return reason
    return replace(reason, advice=reason.advice.replace("harness run --resume", f"harness {campaign} --resume"))


def unusable_repetitions(evidence: Evidence) -> dict[int, list[Reason]]:
    """Repetition → what makes it INVALID, each looked at alone. The repetitions of an arm are halves of pairs."""
    found = {}
    for r in evidence.repetitions:
        reasons = [reason for reason in reasons_for(evidence.only([r])) if reason.severity == INVALID]
        if reasons:
            found[r.measurement.repetition] = reasons
    return found


def _of_arm(evidence: Evidence) -> list[Reason]:
    """A few repetitions that cannot be used are left out of the pairs and weaken the point; more of them end it."""
    unusable, measured = unusable_repetitions(evidence), len(evidence.repetitions)
    if not unusable or len(unusable) > UNUSABLE_SHARE * measured:
        return reasons_for(evidence)
    words = [f"repetition {number}: {reasons[0].message}" for number, reasons in unusable.items()]
    message = f"{len(unusable)} of {measured} repetitions are not used: {'; '.join(words)}"
    usable = [r for r in evidence.repetitions if r.measurement.repetition not in unusable]
    advice = next(iter(unusable.values()))[0].advice
    return [
        *not_measured(evidence),
        *reasons_for(evidence.only(usable)),
        Reason(UNUSABLE_REPETITIONS, SUSPECT, message, advice),
    ]


def reasons_for(evidence: Evidence) -> list[Reason]:
    """Everything that speaks against a point, in the order of the table."""
    return [reason for find in REASONS.values() for reason in find(evidence)]


def _validity(reasons: list[Reason]) -> Validity:
    severities = {VALID, *(reason.severity for reason in reasons)}
    return Validity(next(status for status in WORST_FIRST if status in severities), reasons)


def not_measured(evidence: Evidence) -> Iterator[Reason]:
    """The point, or some of its repetitions, were never measured."""
    planned, measured = evidence.point.repetitions, len(evidence.repetitions)
    if measured >= planned:
        return
    severity = SUSPECT if measured else INVALID
    message = f"{measured} of {planned} repetitions were measured"
    yield Reason("not_measured", severity, message, "go on with the run: harness run --resume")


def interrupted(evidence: Evidence) -> Iterator[Reason]:
    """The person stopped a repetition. What is complete besides it speaks for the point; alone it is no measurement."""
    complete = any(r.measurement.complete for r in evidence.repetitions)
    yield from evidence.reason(
        "interrupted",
        SUSPECT if complete else INVALID,
        lambda r: "stopped before its end" if _cut_short(r) else None,
        "measure it again: harness run --resume",
    )


def target_lost(evidence: Evidence) -> Iterator[Reason]:
    """The server went away under this load: no number of the point describes a working server."""
    yield from evidence.reason(
        "target_lost",
        INVALID,
        lambda r: _ending(r, "target_lost", "the target went away"),
        "look at the server's log (harness engine logs), start it again, then harness run --resume",
    )


def driver_failed(evidence: Evidence) -> Iterator[Reason]:
    """The load generator broke."""
    yield from evidence.reason(
        "driver_failed",
        INVALID,
        lambda r: _ending(r, "driver_failed", "the load generator failed"),
        "mend what the message names (often a full disk), then harness run --resume",
    )


def _cut_short(r: MeasuredRepetition) -> bool:
    """Stopped by the person: not by a fault, and not by the rule of a search probe."""
    return not r.measurement.complete and r.measurement.ended not in ("target_lost", "driver_failed", STOPPED_SATURATED)


def _ending(r: MeasuredRepetition, ended: str, words: str) -> str | None:
    if r.measurement.ended != ended:
        return None
    return f"{words}: {r.measurement.message}" if r.measurement.message else words


def lost_records(evidence: Evidence) -> Iterator[Reason]:
    """Rows are missing, could not be kept, or occur twice: every share and every rate is wrong."""
    yield from evidence.reason(
        "lost_records",
        INVALID,
        _lost,
        "free disk space or slow the load, then measure again; a copied folder: copy it again",
    )


def _lost(r: MeasuredRepetition) -> str | None:
    m, rows = r.measurement, len(r.rows)
    failed = sum(worker.records_failed for worker in m.workers)
    repeated = rows - len(r.rows.table["index"].unique())
    findings = {
        f"{rows} records, {m.records_expected} expected": rows != m.records_expected,
        f"{failed} records could not be written": failed > 0,
        f"{repeated} records occur twice": repeated > 0,
    }
    return ", ".join(text for text, holds in findings.items() if holds) or None


def no_success(evidence: Evidence) -> Iterator[Reason]:
    """No request of a window went well: there is nothing to describe."""
    yield from evidence.reason(
        "no_success",
        INVALID,
        _no_success,
        "read the errors of the point; no request at all: lengthen the window or the warm-up",
    )


def _no_success(r: MeasuredRepetition) -> str | None:
    cohort = r.cohort
    answered = r.rows.ok | (r.rows.cancelled & known(r.rows.first_token_ns))
    if (cohort & answered).any():
        return None
    return (
        f"none of the window's {int(cohort.sum())} requests succeeded" if cohort.any() else "no request in the window"
    )


def max_requests(evidence: Evidence) -> Iterator[Reason]:
    """The planned sequence ran out before the window was over."""
    yield from evidence.reason(
        "max_requests",
        SUSPECT,
        lambda r: (
            f"all {r.measurement.taken} planned requests were used up before the window was over"
            if r.measurement.ended == "max_requests"
            else None
        ),
        "raise load.max_requests, or shorten phases.window_s",
    )


def sample_size(evidence: Evidence) -> Iterator[Reason]:
    """Too few requests for a percentile that somebody will look at."""
    missing = {}
    for metric, statistic in evidence.percentiles:
        n = min((r.metrics[metric][statistic].n for r in evidence.summary.repetitions if r.complete), default=0)
        needed = smallest_n(PERCENTILES[statistic])
        if 0 < n < needed:
            missing[f"{statistic} of {metric} needs {needed} (has {n})"] = needed
    if missing:
        advice = f"lengthen phases.window_s, or set phases.window_requests to at least {max(missing.values())}"
        yield Reason("sample_size", SUSPECT, "too few requests: " + ", ".join(missing), advice)


def phases(evidence: Evidence) -> Iterator[Reason]:
    """The driver's idea of a request's phase is not what its instants say. The instants are what is used."""
    yield from evidence.reason(
        "phases", SUSPECT, _other_phase, "the numbers follow the instants; please report it: the driver labels wrongly"
    )


def _other_phase(r: MeasuredRepetition) -> str | None:
    expected = expected_phases(r.measurement, origins(r.point, r.rows))
    labels = pc.index_in(r.rows.table["phase"], value_set=pa.array(PHASES)).fill_null(-1).to_numpy()
    wrong = int((known(expected) & (expected != labels)).sum())
    return f"{wrong} of {len(r.rows)} records carry another phase than their instants say" if wrong else None


REASONS: Mapping[str, Callable[[Evidence], Iterator[Reason]]] = {
    "not_measured": not_measured,
    "interrupted": interrupted,
    "target_lost": target_lost,
    "driver_failed": driver_failed,
    "lost_records": lost_records,
    "no_success": no_success,
    "max_requests": max_requests,
    "sample_size": sample_size,
    "token_counts": token_counts.find,
    "phases": phases,
    "stopped_saturated": schedule.stopped_saturated,
    "unsent_arrivals": schedule.unsent_arrivals,
    "late_arrivals": schedule.late_arrivals,
    "schedule_lag": schedule.schedule_lag,
    "arrivals": schedule.arrivals,
    "client_standstill": client.client_standstill,
    "client_cpu": client.client_cpu,
    "client_lag": client.client_lag,
    "client_ceiling": client.client_ceiling,
    "achieved_concurrency": achieved.achieved_concurrency,
    "achieved_rate": achieved.achieved_rate,
    "server_in_flight": achieved.server_in_flight,
    "littles_law": achieved.littles_law_broken,
    "unstable": steadiness.unstable,
    "not_steady": steadiness.not_steady,
    "kv_cache_reuse": reuse.kv_cache_reuse,
    "gpu_fault": hardware.gpu_fault,
    "gpu_throttled": hardware.gpu_throttled,
}
