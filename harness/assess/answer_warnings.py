"""What a person must know before believing the answer of a sweep: doubts about points, drift, what is missing."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.answer import Drift, WorkloadAnswer

MUCH_DRIFT = 0.05


def warnings(made: WorkloadAnswer, drift: Drift | None) -> list[str]:
    """Sentences, about the recommended point first."""
    found = []
    point = made.point(made.recommendation.point_id)
    if point is not None and point.validity == "SUSPECT":
        found.append("the recommended point is SUSPECT: read why before you deploy it")
    if point is not None and point.close is not None:
        found.append(f"the recommended point meets {point.close}, but its interval reaches over the limit")
    invalid = [point.point_id for c in made.configurations for point in c.points if point.validity == "INVALID"]
    if invalid:
        found.append(f"INVALID, so they could not win: {'; '.join(invalid)}")
    found += _of_drift(made, drift)
    pruned = [c.label for c in made.configurations if c.pruned is not None]
    if pruned:
        found.append(f"not finished, because they were beaten beyond doubt (--prune): {'; '.join(pruned)}")
    lacking = [c.label for c in made.configurations if c.failure is not None]
    if lacking:
        found.append(f"without a result: {'; '.join(lacking)}")
    return found


def _of_drift(made: WorkloadAnswer, drift: Drift | None) -> Iterator[str]:
    if drift is None or len(drift.values) < 2:
        yield "drift is not known, so no margin is called real: the reference was not measured twice"
        return
    if drift.spread is None:
        yield "drift is not known, so no margin is called real: the reference gave nothing at one of its visits"
    elif drift.spread > MUCH_DRIFT:
        yield f"the reference differs by {drift.spread:.0%} between its visits: sweep again on a quiet machine"
    if drift.is_invalid:
        yield "the reference is INVALID: read why; what it tells of drift cannot be believed"
    yield from _decided_by_drift(made, drift.first_token_spread or 0.0)


def _decided_by_drift(made: WorkloadAnswer, spread: float) -> Iterator[str]:
    """Objectives on times that are met, or missed, by less than TTFT of the reference differs between its visits."""
    best = made.point(made.recommendation.point_id)
    if best is not None and best.slack is not None and 0 <= best.slack < spread:
        yield (
            f"the recommended point meets its objectives by {best.slack:.0%},"
            f" and TTFT of the reference drifted by {spread:.0%}"
        )
    at_least = 0.0 if best is None else best.maximised.value or 0.0
    near = [
        f"{c.label} at {point.load}"
        for c in made.configurations
        for point in c.points
        if (point.why_not or "").startswith("misses")
        and point.slack is not None
        and (point.maximised.value or 0.0) > at_least
        and (1 + point.slack) * (1 + spread) > 1
    ]
    if near and spread > 0:
        yield f"missed an objective by less than TTFT of the reference drifted ({spread:.0%}): {'; '.join(near)}"
