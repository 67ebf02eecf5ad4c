"""The answer of a sweep in words, a table and a figure per workload: which configuration, how sure, what next."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import shorten

from harness.analysis.answer import NOT_FINISHED, Answer, AnswerPoint, Configuration, WorkloadAnswer
from harness.analysis.bound_by import UNKNOWN
from harness.analysis.pareto import Compared
from harness.metrics.results import Value
from harness.report.numbers import digits, plain
from harness.report.pareto_figure import pareto
from harness.report.places import UNNAMED
from harness.report.shown import AnswerView, TextTable

LONGEST_FAILURE = 160  # characters; the whole stands in manifest.json and in the server's log
RATES = {"output_token_throughput": "output tokens/s", "goodput": "requests/s within all bounds"}


def views(answer: Answer | None, run_folder: str) -> tuple[AnswerView, ...]:
    """The answer to every workload; none for runs that ask no such question. `run_folder`: its name, for commands."""
    return () if answer is None else tuple(_view(answer, one, run_folder) for one in answer.workloads)


def _view(answer: Answer, one: WorkloadAnswer, run_folder: str) -> AnswerView:
    best = one.configuration(one.recommendation.configuration)
    of = "" if one.workload == UNNAMED else f" for {one.workload}"
    return AnswerView(
        key="answer" if one.workload == UNNAMED else f"answer-{one.workload}",
        title=f"The answer{of}",
        headline="No configuration can be recommended" if best is None else best.label,
        evidence=tuple(_evidence(answer, one)),
        margin="" if best is None else _margin(one),
        warnings=tuple(one.warnings),
        table=_table(answer, one),
        note=_note(answer),
        figure=pareto(answer, one),
        next_steps=tuple(one.next_steps),
        command="" if best is None else _command(best, run_folder),
    )


def _evidence(answer: Answer, one: WorkloadAnswer) -> Iterator[str]:
    point = one.point(one.recommendation.point_id)
    if point is None:
        yield one.recommendation.reason[:1].upper() + one.recommendation.reason[1:] + "."
    else:
        yield (
            f"At {point.load}: {_rate(answer, point.maximised)}, {plain_or_none(point.per_user)} per user (p50),"
            f" TTFT {answer.statistic} {plain(point.time_to_first_token)}; {point.validity}."
        )
        unknown = [bound.seen for bound in point.bounds if bound.by == UNKNOWN]
        yield f"What bound it is not known: {'; '.join(unknown)}." if unknown else f"Bound by {_bounds(point)}."
    if answer.objectives:
        yield f"Objectives: {'; '.join(answer.objectives)}."
    else:
        yield "The scenario states no objective: the highest throughput wins, whatever its latency."


def plain_or_none(value: Value) -> str:
    """A rate per user in short: `42.1/s`."""
    return "n/a" if value.value is None else f"{digits(value.value)} tokens/s"


def _rate(answer: Answer, value: Value) -> str:
    number = "n/a" if value.value is None else digits(value.value)
    return f"{number} {RATES[answer.maximised]} per {_divisor(answer)}"


def _divisor(answer: Answer) -> str:
    return "GPU" if answer.divisor == "gpu" else "server"


def _margin(one: WorkloadAnswer) -> str:
    found, first = one.recommendation, one.recommendation.runner_up
    if first is None:
        return "No other configuration has a finished point inside the objectives to compare with."
    name = _label(one, first)
    word = "The margin is real" if found.margin_is_real else "The margin is not known to be real"
    unsure = len(found.not_distinguishable)
    others = f" {unsure} of {len(found.others)} others cannot be told from it." if len(found.others) > 1 else ""
    return f"Runner-up: {name}. {word}: {found.reason}.{others}"


def _label(one: WorkloadAnswer, other: Compared) -> str:
    found = one.configuration(other.configuration)
    return other.configuration if found is None else found.label


def _table(answer: Answer, one: WorkloadAnswer) -> TextTable:
    rate = f"output tokens/s per {_divisor(answer)}"
    more = (f"{RATES['goodput']} per {_divisor(answer)}",) if answer.maximised == "goodput" else ()
    headers = ("configuration", "result", "at", rate, *more, "per user p50", f"TTFT {answer.statistic}", "bound by")
    ranked = sorted(one.configurations, key=lambda c: _rank(one, c))
    return TextTable(headers, tuple(_row(answer, one, c, len(headers)) for c in ranked))


def _rank(one: WorkloadAnswer, c: Configuration) -> tuple[int, float]:
    """The recommended one, the others by what they give, those that miss an objective, those without a result."""
    point = _shown_point(one, c)
    if point is None:
        return (2, 0.0)
    return (0 if point.why_not is None else 1, -(point.maximised.value or 0.0))


def _shown_point(one: WorkloadAnswer, c: Configuration) -> AnswerPoint | None:
    """The point that stands for a configuration: its best admissible one, else the one with the lowest load."""
    beaten = [point for point in c.points if (point.why_not or "").startswith(NOT_FINISHED)]
    admissible = [point for point in c.points if point.why_not is None and point.maximised.value]
    if admissible or beaten:
        return max(admissible or beaten, key=lambda point: point.maximised.value or 0.0)
    return c.points[0] if c.points else None


def _row(answer: Answer, one: WorkloadAnswer, c: Configuration, width: int) -> tuple[str, ...]:
    point = _shown_point(one, c)
    if point is None:
        return (c.label, shorten(c.failure or "not measured", LONGEST_FAILURE, placeholder=" …"), *["–"] * (width - 2))
    more = (_number(point.maximised),) if answer.maximised == "goodput" else ()
    result = _result(one, c, point)
    if c.failure is not None:
        result += f"; {shorten(c.failure, LONGEST_FAILURE, placeholder=' …')}"
    if c.pruned is not None and NOT_FINISHED not in result:
        result += f"; {NOT_FINISHED}: {c.pruned}"
    return (
        c.label,
        result,
        point.load,
        _number(point.throughput),
        *more,
        plain_or_none(point.per_user),
        plain(point.time_to_first_token),
        _bounds(point),
    )


def _result(one: WorkloadAnswer, c: Configuration, point: AnswerPoint) -> str:
    if c.deployment_id == one.recommendation.configuration:
        return "recommended"
    if point.why_not is not None:
        return point.why_not
    found = next((o for o in one.recommendation.others if o.configuration == c.deployment_id), None)
    if found is None:
        return "–"
    behind = f"{-found.margin / (1 + found.margin):.1%} behind".replace("-", "")
    if found.real:
        return behind
    if found.low is not None and found.low > 0:
        return f"{behind}, drift not known"
    return f"{behind}, not distinguishable" if found.low is not None else f"{behind}, noise not known"


def _number(value: Value) -> str:
    if value.value is None:
        return value.reason or "n/a"
    spread = f" ({digits(value.low)}–{digits(value.high)})" if value.low is not None and value.high is not None else ""
    return digits(value.value) + (spread if value.low != value.high else "")


def _bounds(point: AnswerPoint) -> str:
    return "; ".join(f"{bound.by}: {bound.seen}" for bound in point.bounds) or "nothing that was seen"


def _note(answer: Answer) -> str:
    """How to read the table: what is compared, and how drift enters."""
    parts = [
        "Each configuration stands at its best load inside the objectives; those that miss one at every load, at "
        "their lowest load. Margins hold together at 95% over all points that could have won (Games–Howell), from "
        "repetitions within one start of the server."
    ]
    drift = answer.drift
    if drift is None or not drift.values:
        parts.append("The reference point was not measured: drift of the machine is not known.")
    elif len(drift.values) < 2:
        parts.append("The reference point was measured once only: drift of the machine is not known.")
    elif drift.spread is None:
        parts.append("The reference point gave nothing at one of its visits: drift of the machine is not known.")
    else:
        visits = " → ".join(digits(value) for value in drift.values)
        parts.append(
            f"Reference point {drift.point_id}, from start to end of the sweep: {visits} {RATES[drift.metric]}."
            f" Its spread of {drift.spread:.1%} widens every margin's interval on both sides."
        )
    if answer.divisor == "server":
        parts.append("No GPU count is known for these targets: rates are per server, not per GPU.")
    return " ".join(parts)


def _command(best: Configuration, run_folder: str) -> str:
    return f"harness engine render {run_folder}/recommended/{best.engine_name}.yaml"
