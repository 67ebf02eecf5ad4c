"""The cross-check: every point measured with two drivers in one run, and whether the two agree within their errors.

Two instruments that share nothing but the plan and the wire: Locust on our own frames in Python, perf_analyzer on
grpc++ in C++. Where they agree the number is the server's; where they differ one of them is wrong, or the server
changed between the two. The decision is `analysis.agreement`'s; the measuring is `run`'s.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.agreement import AGREE, CANNOT_TELL, COMPARED, DIFFER, Agreement, Seen, compare, overall
from harness.analysis.instrument import InstrumentError, instrument_error
from harness.assess.assess import calibration_of
from harness.campaigns.run import CROSS_CHECK
from harness.drivers.chosen import LOCUST, PERF_ANALYZER
from harness.errors import Ending, RunFolderError, worst
from harness.metrics.summary import summarise
from harness.records.calibration import Calibration
from harness.records.manifest import Manifest, Point
from harness.records.store import RunFolder

STATED_ERROR_NS = {"p50": 300_000.0, "p90": 1_000_000.0, "p99": 5_000_000.0}
"""How wrong a driver may be about a time that is not calibrated (perf_analyzer never is): the largest errors seen on
two busy cores against the truth server's log, rounded up."""

GAPS = "inter_chunk_latency"

Name = tuple[str, str]  # metric, statistic

ENDINGS = {AGREE: Ending.PASS, DIFFER: Ending.INVALID, CANNOT_TELL: Ending.INCONCLUSIVE}


@dataclass(frozen=True)
class CheckedPoint:
    """One point of the scenario, as both drivers saw it. Left is Locust, right perf_analyzer."""

    point_id: str
    verdict: str
    values: list[Agreement]


def check(folder: RunFolder) -> list[CheckedPoint]:
    """Compare, and write `cross_check.json` and `cross_check.md`. Raises RunFolderError for another kind of run."""
    manifest = folder.manifest()
    if manifest.campaign != CROSS_CHECK:
        raise RunFolderError(f"{folder.path} is no cross-check", hint="harness run SCENARIO --cross-check")
    checked = _checked(manifest, folder)
    content = {"points": [dataclasses.asdict(point) for point in checked]}
    folder.write_text("cross_check.json", json.dumps(content, indent=2, allow_nan=False) + "\n")
    folder.write_text("cross_check.md", "\n".join(markdown(checked)) + "\n")
    return checked


def ending(checked: list[CheckedPoint]) -> Ending:
    """How the command ends: drivers that differ make the point INVALID."""
    return worst(ENDINGS[point.verdict] for point in checked)


def _checked(manifest: Manifest, folder: RunFolder) -> list[CheckedPoint]:
    summaries = {summary.point_id: summary for summary in summarise(manifest, folder.requests())}
    profile, clock_bound_ns = calibration_of(folder), _clock_bound_ns(folder.path)
    found = []
    for point in manifest.points:
        if not point.point_id.endswith(f"-{LOCUST}"):
            continue
        point_id = point.point_id.removesuffix(f"-{LOCUST}")
        pair = (summaries[f"{point_id}-{LOCUST}"], summaries[f"{point_id}-{PERF_ANALYZER}"])
        ours = calibrated_errors(instrument_error(profile, point, pair[0])) if isinstance(profile, Calibration) else {}
        errors = stated_errors(ours, clock_bound_ns)
        values = compare(*pair, in_flight=_in_flight(point), error_of=errors)
        found.append(CheckedPoint(point_id, overall(values), values))
    return found


def _in_flight(point: Point) -> float:
    """Requests at a window's edge; in an open loop the spread of their number does."""
    return float(point.concurrency or 0)


def stated_errors(ours: Mapping[Name, float], clock_bound_ns: float) -> dict[Name, tuple[float, float]]:
    """(metric, statistic) → error of Locust, which may be calibrated, and of perf_analyzer. Nanoseconds."""
    return {
        (metric, statistic): (ours.get((metric, statistic), error), error + clock_bound_ns)
        for metric in COMPARED
        if COMPARED[metric][0] in STATED_ERROR_NS
        for statistic, error in STATED_ERROR_NS.items()
    }


def calibrated_errors(error: InstrumentError) -> dict[Name, float]:
    """(metric, statistic) → what the calibration says of our own instants.

    Where it knows only the error of a higher percentile, that one.
    """
    half, most = error.time_to_first_token_p50_ns, error.time_to_first_token_p99_ns
    found = {(GAPS, statistic): error.gap_p99_ns for statistic in STATED_ERROR_NS}
    for metric in ("time_to_first_token_from_send", "request_latency_from_send"):
        found |= {(metric, "p50"): half, (metric, "p90"): most, (metric, "p99"): most}
    return {name: value for name, value in found.items() if value is not None}


def _clock_bound_ns(path: Path) -> float:
    """The worst bound of perf_analyzer's wall-clock instants in this run."""
    notes = [json.loads(file.read_text(encoding="utf-8")) for file in path.glob("perf_analyzer-*.json")]
    return float(max((note["instant_error_bound_ns"] for note in notes), default=0))


def markdown(checked: list[CheckedPoint]) -> list[str]:
    """The table, for people and for CI."""
    lines = []
    for point in checked:
        lines += [f"## {point.point_id}: the two drivers {_words(point.verdict)}", ""]
        lines += ["| metric | | Locust | perf_analyzer | verdict |", "|---|---|---|---|---|"]
        for each in point.values:
            verdict = each.verdict if not each.reason else f"{each.verdict}: {each.reason}"
            left, right = (_shown(seen, each.unit) for seen in (each.left, each.right))
            lines.append(f"| {each.metric} | {each.statistic} | {left} | {right} | {verdict} |")
        lines.append("")
    footnote = "Values [hull of the repetitions' 95% intervals] ± the instrument's stated error."
    return [*lines, footnote]


def _words(verdict: str) -> str:
    return {AGREE: "agree", DIFFER: "differ"}.get(verdict, "cannot be told apart, nor said to agree")


def _shown(seen: Seen | None, unit: str) -> str:
    if seen is None:
        return "–"
    scale, name = (1e6, " ms") if unit == "ns" else (1.0, "/s" if unit == "per_s" else f" {unit}")
    value, low, high, error = (number / scale for number in dataclasses.astuple(seen))
    interval = f" [{low:.2f}, {high:.2f}]" if high > low else ""
    return f"{value:.2f}{interval}{f' ± {error:.2f}' if error else ''}{name}"
