"""The first screen in words: what ran, what came out, and whether it can be believed."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence

from harness.metrics.results import POINT_VALUE
from harness.records.manifest import Manifest
from harness.report import loads
from harness.report.numbers import digits, plain
from harness.report.places import NOT_MEASURED, Place, closed_loop, overload, series_of
from harness.report.shown import AnswerView, Verdict
from harness.scenario.schema import Scenario
from harness.units import show_duration

PREFERRED = ("p95", "p90", "p50")
WORDS = ("VALID", "SUSPECT", "INVALID", NOT_MEASURED)


def title(manifest: Manifest) -> str:
    """The title of the page."""
    varied = _varied(manifest)
    verb = "search" if manifest.campaign == "size" else "sweep"
    what = f"{verb} over {' × '.join(varied)}" if varied else f"load test of {_targets(manifest)}"
    return f"{manifest.scenario_name}: {what}"


def sentence(manifest: Manifest, scenario: Scenario, found: Sequence[Place]) -> str:
    """What ran, in one or two sentences."""
    load = _loads(found, scenario)
    window = scenario.phases.window_length_s
    length = show_duration(window) if window is not None else f"{scenario.phases.window_requests} requests"
    if manifest.campaign == "size":
        probes = f"{_count(len(found), 'probe')}, each as long as its test needs"
        return f"{_targets(manifest)} at {load}: {probes}. {_origin(found)}"
    workloads = len({place.point.workload for place in found})
    repetitions = max((place.point.repetitions for place in found), default=0)
    size = f"{_count(len(found), 'point')}, {_count(repetitions, 'repetition')} each, windows of {length}"
    return f"{_targets(manifest)} under {_count(workloads, 'workload')} at {load}: {size}. {_origin(found)}"


def _loads(found: Sequence[Place], scenario: Scenario) -> str:
    """The load levels and the kind of loop."""
    closed = sorted({place.load for place in found if not place.open_loop})
    words = [f"concurrency {', '.join(f'{load:g}' for load in closed)} (closed loop)"] if closed else []
    opened = [place for place in found if place.open_loop]
    if opened:
        changing = loads.without_one_rate(scenario.load)
        rates = sorted({place.load for place in opened})
        level = changing or f"{', '.join(f'{rate:g}' for rate in rates)} {opened[0].unit}"
        words.append(f"{level} (open loop, {loads.process(scenario.load)})")
    return " and ".join(words) or "no load"


def _origin(found: Sequence[Place]) -> str:
    if closed_loop(found):
        return "In a closed loop there is no schedule: TTFT and latency count from the send."
    counted = "TTFT and latency count from the intended instant; the same from the send stands beside them."
    return counted if all(place.open_loop for place in found) else f"In the open loop {counted}"


def _varied(manifest: Manifest) -> list[str]:
    """The settings by which the deployments of a sweep differ."""
    return list(dict.fromkeys(name for d in manifest.deployments for name in d.varied))


def _targets(manifest: Manifest) -> str:
    varied = _varied(manifest)
    if varied:
        count = len(manifest.deployments)
        measured = sum(d.failure is None for d in manifest.deployments)
        models = " and ".join(sorted({f"{d.model}, {d.kind}" for d in manifest.deployments}))
        lost = "" if measured == count else f" ({count - measured} of them without a result)"
        return f"{_count(count, 'combination')} of {' × '.join(varied)}{lost}, {models},"
    names = {f"{d.engine_name or d.deployment_id} ({d.model}, {d.kind})" for d in manifest.deployments}
    return " and ".join(sorted(names)) or "no server"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def measured_at(manifest: Manifest) -> str:
    """When, as wall time in UTC, from the first start to the last end."""
    if not manifest.measurements:
        return _utc(manifest.clock.wall_ns)
    first = min(m.start_ns for m in manifest.measurements)
    last = max(m.drain_end_ns for m in manifest.measurements)
    begin, end = (_utc(manifest.clock.to_wall_ns(instant)) for instant in (first, last))
    return f"{begin} to {end.rpartition(' UTC')[0].rpartition(' ')[2]} UTC ({show_duration((last - first) / 1e9)})"


def _utc(wall_ns: int) -> str:
    return datetime.datetime.fromtimestamp(wall_ns // 10**9, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def verdict(found: Sequence[Place]) -> Verdict:
    """Whether the run can be believed: the worst word of its points, how many have which, and why."""
    counts = Counter(place.status for place in found)
    measured = len(found) - counts[NOT_MEASURED]
    if measured == 0:
        return Verdict("NO DATA", "Nothing was measured: no point has a window.", reasons=_doubts(found))
    parts = [f"{counts[word]} {word}" for word in WORDS[:3] if counts[word]]
    text = f"Of {_count(measured, 'measured point')}: {', '.join(parts)}."
    if counts[NOT_MEASURED]:
        text += f" {_count(counts[NOT_MEASURED], 'planned point')} not measured."
    word = next((word for word in ("INVALID", "SUSPECT") if counts[word]), None)
    if word is None:
        word = "INCOMPLETE" if counts[NOT_MEASURED] else "VALID"
    shown = tuple((word, counts[word]) for word in WORDS if counts[word])
    return Verdict(word, f"{text} {_MEANING[word]}", shown, _doubts(found))


_MEANING = {
    "INVALID": "Do not use the numbers of INVALID points.",
    "SUSPECT": "Read why before you use the numbers of SUSPECT points.",
    "INCOMPLETE": "What was measured can be believed.",
    "VALID": "Nothing was found that speaks against these numbers.",
}


def _doubts(found: Sequence[Place]) -> tuple[str, ...]:
    """Kinds of reasons with the points they hold for, the worst first."""
    where: dict[tuple[str, str], list[str]] = {}
    for place in found:
        for reason in place.validity.reasons:
            labels = where.setdefault((reason.severity, reason.code), [])
            if place.label not in labels:
                labels.append(place.label)
    ordered = sorted(where.items(), key=lambda item: (item[0][0] != "INVALID", -len(item[1])))
    return tuple(f"{severity}, {code.replace('_', ' ')}: {_some(labels)}" for (severity, code), labels in ordered)


def _some(labels: Sequence[str]) -> str:
    return "; ".join(labels) if len(labels) <= 2 else f"{len(labels)} points"


def results(found: Sequence[Place], answers: Sequence[AnswerView] = ()) -> tuple[str, ...]:
    """What came out: the answer of a sweep, else one sentence per series. INVALID points are left out, and said so."""
    if answers:
        return tuple(text for one in answers for text in (f"{one.title}: {one.headline}", one.evidence[0], one.margin))
    return tuple(_result(name, series) for name, series in series_of(found).items())


def _result(name: str, series: Sequence[Place]) -> str:
    usable = [p for p in series if p.believable and p.value("output_token_throughput", POINT_VALUE).value is not None]
    left_out = [place.load_text for place in series if place.status == "INVALID"]
    suffix = f" Left out, because INVALID: {', '.join(left_out)}." if left_out else ""
    if not usable:
        return f"{name}: no point that can be used.{suffix}"
    best = max(usable, key=lambda place: place.value("output_token_throughput", POINT_VALUE).value or 0.0)
    if best.value("output_token_throughput", POINT_VALUE).value == 0:
        return f"{name}: no output token arrived at any load.{suffix}"
    first = usable[0]
    if best is first:
        return f"{name}: {_tokens(best)} at {best.load_label}{_latency(best)}.{suffix}"
    there = f" the load is too much ({overload(best)})" if overload(best) else _latency(best, joint="")
    return (
        f"{name}: output rises from {_tokens(first)} at {first.load_label} to {_tokens(best)} at {best.load_label}, "
        f"the highest{f'; there{there}' if there else ''}.{suffix}"
    )


def _tokens(place: Place) -> str:
    value = place.value("output_token_throughput", POINT_VALUE)
    return f"{digits(value.value or 0.0)} tokens/s"


def _latency(place: Place, joint: str = ", with") -> str:
    """TTFT and spacing of a point, at the highest percentile it has."""
    texts = []
    for metric, word in (("time_to_first_token", "TTFT"), ("time_per_output_token", "TPOT")):
        for statistic in PREFERRED:
            value = place.value(metric, statistic)
            if value.value is not None:
                texts.append(f"{word} {statistic} {'is ' if not joint else ''}{plain(value)}")
                break
    return f"{joint} {' and '.join(texts)}" if texts else ""
