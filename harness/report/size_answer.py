"""The answer of `harness size` in words, a table and a figure: the highest load, how sure, every probe, what next."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.bound_by import LOAD, UNKNOWN
from harness.analysis.next_steps import ADVICE
from harness.analysis.sized import SizeAnswer, Sized
from harness.report import size_figure
from harness.report.numbers import digits
from harness.report.shown import AnswerView, TextTable

RATES = {
    "goodput": "requests/s within all bounds",
    "output_token_throughput": "output tokens/s",
    "per_user": "output tokens/s per user (p50)",
}
WIDE = 1.2  # a gap between the load found and the lowest one lost that deserves a word


def views(answer: SizeAnswer | None, run_folder: str) -> tuple[AnswerView, ...]:
    """The section of the report; none for runs that searched nothing."""
    if answer is None:
        return ()
    best = answer.configuration(answer.recommendation.configuration)
    return (
        AnswerView(
            key="size",
            title="The answer",
            headline="No load was found that meets the objectives" if best is None else _headline(answer, best),
            evidence=tuple(_evidence(answer, best)),
            margin=_margin(answer),
            warnings=tuple(_warnings(answer)),
            table=_table(answer),
            note=_note(answer),
            figure=size_figure.figure(answer),
            next_steps=tuple(_next_steps(answer, best)),
            command=_command(best, run_folder),
        ),
    )


def rate(answer: SizeAnswer) -> str:
    """What is maximised, in words, with what it is divided by."""
    per = "" if answer.maximised == "per_user" else f" per {'GPU' if answer.divisor == 'gpu' else 'server'}"
    return RATES[answer.maximised] + per


def _headline(answer: SizeAnswer, best: Sized) -> str:
    return f"{digits(best.load or 0)} {answer.unit}, {best.label}"


def _evidence(answer: SizeAnswer, best: Sized | None) -> Iterator[str]:
    if best is None:
        yield " ".join(f"{one.label}: {one.why}." for one in answer.configurations) or "Nothing was probed."
    else:
        upper = f"below {digits(best.high)}" if best.high is not None else "above it nothing was lost"
        value = digits(answer.recommendation.value or 0.0)
        yield f"The edge lies from {digits(best.load or 0)} on, {upper} ({answer.unit}): {best.why}."
        yield f"There: {value} {rate(answer)}, the median of {len(best.values)} probes."
        if best.bounds:
            yield f"What bound it, {_bound(best)}."
    if answer.objectives and answer.mode == "objectives":
        yield f"Objectives: {'; '.join(answer.objectives)}."


def _warnings(answer: SizeAnswer) -> Iterator[str]:
    """Configurations that may carry more, for all that is known."""
    words = {"running": "not searched to the end", "went_away": "lost under load", "invalid": "INVALID probes"}
    words["undecided"] = "not decided"
    open_ones = [f"{one.label} ({words[one.status]})" for one in answer.configurations if one.status in words]
    if open_ones:
        yield f"Without an answer: {'; '.join(open_ones)}. They may carry more than what is recommended."


def _margin(answer: SizeAnswer) -> str:
    found = answer.recommendation
    if found.configuration is None or len(answer.configurations) < 2:
        return ""
    if found.runner_up is None:
        return "No other configuration meets the objectives."
    other = answer.configuration(found.runner_up.configuration)
    word = "The margin is real" if found.margin_is_real else "The margin is not known to be real"
    return f"Runner-up: {other.label if other else found.runner_up.configuration}. {word}: {found.reason}."


def _table(answer: SizeAnswer) -> TextTable:
    headers = (
        "configuration",
        f"highest load ({answer.unit})",
        "lost from",
        rate(answer),
        "probes",
        "result",
    )
    ranked = sorted(answer.configurations, key=lambda one: -(max(one.values) if one.values else -1.0))
    return TextTable(headers, tuple(_row(answer, one) for one in ranked))


def _row(answer: SizeAnswer, one: Sized) -> tuple[str, ...]:
    recommended = one.key == answer.recommendation.configuration
    values = sorted(one.values)
    return (
        one.label,
        "–" if one.load is None else digits(one.load),
        "–" if one.high is None else digits(one.high),
        digits(values[len(values) // 2]) if values else "–",
        str(len(one.probes)),
        f"{'recommended: ' if recommended else ''}{one.why}{f'; bound {_bound(one)}' if one.bounds else ''}",
    )


def _bound(one: Sized) -> str:
    """What held the engine back, and at which load that was looked at."""
    if not one.bounds or one.bound_at is None:
        return "–"
    return f"at {digits(one.bound_at)}: " + "; ".join(f"{bound.by}: {bound.seen}" for bound in one.bounds)


def _note(answer: SizeAnswer) -> str:
    parts = []
    if answer.mode == "objectives":
        parts.append(
            "Each probe is judged by MLPerf's early-stopping test over its requests, clustered ones counted as fewer; "
            "a load that stays undecided counts as not met. The load found held again in every confirmation."
        )
    if answer.divisor == "server" and answer.maximised != "per_user":
        parts.append("No GPU count is known for these targets: rates are per server, not per GPU.")
    return " ".join(parts)


def _next_steps(answer: SizeAnswer, best: Sized | None) -> Iterator[str]:
    if best is None:
        yield from _ways_out(answer)
        return
    undecided = any(probe.load > (best.load or 0.0) and probe.answer == "undecided" for probe in best.probes)
    if answer.mode == "objectives" and (best.high is None or best.high > WIDE * (best.load or 0.0)):
        if undecided:
            yield "loads above stayed undecided: longer windows (size.shortest_window_s) decide more"
        elif best.high is None:
            yield "no load was lost: raise size.highest to find the edge"
    yield from (ADVICE[bound.by] for bound in best.bounds if bound.by not in (LOAD, UNKNOWN))
    if len(answer.configurations) < 2:
        yield "give `vary` settings of the engine, and every combination is sized"


def _ways_out(answer: SizeAnswer) -> Iterator[str]:
    """What to do when nothing can be recommended."""
    statuses = {one.status for one in answer.configurations}
    if statuses & {"running", "went_away"}:
        yield "go on with harness size --resume"
    if "invalid" in statuses:
        yield "look at the reasons of the INVALID probes, mend them, and go on with harness size --resume"
    if "undecided" in statuses:
        yield "longer windows (size.shortest_window_s) or more probes (size.most_probes) decide more"
    if "none_holds" in statuses:
        yield "lower size.lowest, relax an objective, or vary other engine settings"
    if "failed" in statuses:
        yield "see why the engine did not start, in the table and in server.log"


def _command(best: Sized | None, run_folder: str) -> str:
    if best is None or best.key == "only" or best.engine_name is None:
        return ""
    return f"harness engine render {run_folder}/engines/{best.engine_name}.yaml"
