"""What to try next after a sweep, from what bound the recommended point and where it lies in what was varied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.analysis.answer import AnswerPoint, Configuration, WorkloadAnswer
from harness.analysis.bound_by import CACHE, COMPUTE, LOAD, QUEUE, SLOTS, TOKENS, UNKNOWN

LOOSENED_BY = {SLOTS: "max_batch_size", TOKENS: "max_num_tokens"}
ADVICE = {
    SLOTS: "batch slots bound it: larger max_batch_size, as long as the KV cache holds",
    CACHE: "the KV cache bound it: a larger cache (memory fraction, FP8 cache), smaller output limits, or "
    "batch_scheduler_policy max_utilization",
    TOKENS: "max_num_tokens bound it: larger steps, or chunked context",
    QUEUE: "requests waited before the engine: look at queue settings and instance counts",
    COMPUTE: "it computed without pause: only a faster engine helps (precision, parallelism, more GPUs or threads)",
    LOAD: "nothing bound it: measure higher loads, it may give more",
    UNKNOWN: "what bound it is not known: measure at two loads and more, and let the harness read the engine's gauges"
    " (`metrics_url`; a `telemetry.period_s` well below the window; trtllm-serve: return_perf_metrics and"
    " enable_iter_perf_stats)",
}


def next_steps(made: WorkloadAnswer, varied: Mapping[str, Sequence[Any]]) -> list[str]:
    """Sentences, the most telling first. `varied`: setting → the values that were measured."""
    point, best = made.point(made.recommendation.point_id), made.configuration(made.recommendation.configuration)
    if point is None or best is None:
        return list(_without_winner(made))
    steps = list(dict.fromkeys([*_of_bounds(point, best, varied), *_edges(best, varied)]))
    steps += _more_repetitions(made)
    if point.level == max(p.level for p in best.points) and not any(
        b.by in (COMPUTE, LOAD, UNKNOWN) for b in point.bounds
    ):
        steps.append(f"it won at the highest load measured ({point.load}): measure higher ones")
    return list(dict.fromkeys(steps))


def _of_bounds(point: AnswerPoint, best: Configuration, varied: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """What would loosen its bounds; where more of it was measured and did not win, that."""
    for bound in point.bounds:
        setting = LOOSENED_BY.get(bound.by)
        if setting is not None and any(value > best.varied[setting] for value in varied.get(setting, ())):
            yield f"{bound.by} bound it, but larger {setting} was measured and did not win: read their rows"
        elif bound.by in ADVICE:
            yield ADVICE[bound.by]


def _edges(best: Configuration, varied: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    for name, values in varied.items():
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        chosen = best.varied.get(name)
        if len(numbers) < 2 or chosen not in numbers:
            continue
        if chosen == max(numbers):
            yield f"{name} {chosen} is the largest that was measured: measure a larger one"
        elif chosen == min(numbers):
            yield f"{name} {chosen} is the smallest that was measured: measure a smaller one"


def _more_repetitions(made: WorkloadAnswer) -> Iterator[str]:
    unsure = made.recommendation.not_distinguishable
    if not unsure:
        return
    if unsure[0].low is None:
        yield "one repetition shows no noise: write `repetitions: 3` (or more) and sweep again"
    elif not made.recommendation.drift_is_known:
        yield "drift is not known: finish the sweep with --resume, so that the reference is measured again"
    else:
        others = "1 other" if len(unsure) == 1 else f"{len(unsure)} others"
        yield f"{others} may be as good: more repetitions or longer windows tell them apart"


def _without_winner(made: WorkloadAnswer) -> Iterator[str]:
    if any(c.pruned is not None for c in made.configurations):
        yield "some were not finished: go on with --resume, without --prune"
    points: list[AnswerPoint] = [point for c in made.configurations for point in c.points]
    if any((point.why_not or "").startswith("misses") for point in points):
        yield "no point meets all objectives: measure lower loads, or vary what bound the lowest one"
        lowest = min(points, key=lambda point: point.level)
        yield from (ADVICE[bound.by] for bound in lowest.bounds if bound.by in ADVICE)
    elif points:
        yield "too few requests, or INVALID points: longer windows, and what the reasons advise"
