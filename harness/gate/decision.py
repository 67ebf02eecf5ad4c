"""The verdict over pairs: every gating metric at this look, Holm over the FAIL claims, then the gate as a whole.

A PASS of the gate needs a PASS of every gating metric, so each may be tested at alpha (intersection-union, Berger &
Hsu 1996). A FAIL of any is enough, so Holm's procedure (1979) shares alpha over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.gate import claims, sentences
from harness.gate.effects import Effect, Missing, effects, succeeded, usable
from harness.gate.pairs import CANDIDATE, Pair
from harness.gate.rule import GatedMetric, Rule
from harness.gate.verdict import FAIL, GATING, INCONCLUSIVE, INFORMATION, INVALID, PASS, MetricVerdict, PairValue
from harness.metrics import catalog


@dataclass(frozen=True)
class Decision:
    """What the pairs say. The campaign puts it into a `Verdict`, beside what was compared."""

    status: str  # PASS, FAIL, INCONCLUSIVE or INVALID
    sentence: str
    metrics: list[MetricVerdict]  # gating first, in the rule's order
    pairs: int  # usable ones
    look: int | None  # of the declared looks, from 1; None: the number of pairs is none of them
    warnings: list[str] = field(default_factory=list)
    next_step: str | None = None


def decide(
    pairs: Sequence[Pair], rule: Rule, look: int | None = None, information: Sequence[GatedMetric] = ()
) -> Decision:
    """The decision over the pairs; with `look` (from 1) over the usable ones of that declared look only."""
    kept = usable(pairs, rule.metrics)
    chosen = kept.pairs if look is None else kept.pairs[: rule.looks[look - 1]]
    warnings = [f"left out {said}" for said in kept.left_out] + _off_schedule(len(chosen), rule)
    if invalid := _invalid(len(pairs), len(kept.pairs), rule):
        return Decision(
            INVALID, invalid, [], len(kept.pairs), None, warnings, "repair the test bed, then measure again"
        )
    judged = _with_holm([judge_metric(chosen, m, rule) for m in rule.metrics], rule)
    shown = [judge_metric(chosen, m, rule, INFORMATION) for m in information]
    warnings += [w for m in judged for w in _narrow_margin(m)]
    at = rule.looks.index(len(chosen)) + 1 if len(chosen) in rule.looks else None
    if len(chosen) >= rule.minimum_pairs and not any(succeeded(pair, CANDIDATE) for pair in chosen):
        sentence = (
            f"FAIL: the candidate had no successful request in any of {len(chosen)} pairs; the baseline had some."
        )
        return Decision(FAIL, sentence, judged + shown, len(chosen), at, warnings)
    status = overall([m.status for m in judged])
    sentence = sentences.gate_sentence(status, judged, len(chosen))
    return Decision(status, sentence, judged + shown, len(chosen), at, warnings, _next_step(status, judged))


def overall(statuses: Sequence[str]) -> str:
    """FAIL if any gating metric fails, PASS if all pass, else INCONCLUSIVE; nothing gated decides nothing."""
    if FAIL in statuses:
        return FAIL
    return PASS if statuses and all(status == PASS for status in statuses) else INCONCLUSIVE


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: max over smaller p of (m - rank + 1)·p, at most 1."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def judge_metric(pairs: Sequence[Pair], metric: GatedMetric, rule: Rule, role: str = GATING) -> MetricVerdict:
    """One metric over usable pairs, before Holm."""
    found = effects(pairs, metric)
    if isinstance(found, Missing):
        return _undecided(metric, role, (), found.reason)
    if len(found) < 2:
        return _undecided(metric, role, found, f"{len(found)} pairs, needs {rule.minimum_pairs}")
    said = claims.judge(found, metric, rule)
    few = len(found) < rule.minimum_pairs
    verdict = replace(
        _undecided(metric, role, found, f"{len(found)} pairs, needs {rule.minimum_pairs}"),
        effect=claims.people(metric, said.estimate),
        low=claims.people(metric, said.low),
        high=claims.people(metric, said.high),
        confidence=1 - 2 * said.level,
        method=said.method,
        p_pass=said.p_pass,
        p_fail=said.p_fail,
        minimum_detectable_effect=None if said.detectable is None else claims.people(metric, said.detectable),
        more_pairs_needed=rule.minimum_pairs - len(found) if few else said.more_pairs,
    )
    return verdict if few else _with_status(verdict, metric, said.p_fail, rule.alpha)


def _with_status(verdict: MetricVerdict, metric: GatedMetric, p_fail: float, alpha: float) -> MetricVerdict:
    assert verdict.p_pass is not None
    status = FAIL if p_fail <= alpha else PASS if verdict.p_pass <= alpha else INCONCLUSIVE
    reason = sentences.metric_reason(metric, status, verdict)
    more = verdict.more_pairs_needed if status == INCONCLUSIVE else None
    return replace(verdict, status=status, reason=reason, more_pairs_needed=more)


def _with_holm(judged: list[MetricVerdict], rule: Rule) -> list[MetricVerdict]:
    adjusted = holm([1.0 if m.p_fail is None else m.p_fail for m in judged])
    result = []
    for verdict, p in zip(judged, adjusted, strict=True):
        if verdict.p_fail is None or verdict.n < rule.minimum_pairs:
            result.append(verdict)
            continue
        again = replace(verdict, p_fail_adjusted=p)
        if verdict.status == FAIL and p > rule.alpha:
            reason = f"{verdict.reason}; not certain enough beside {len(judged) - 1} other metrics (Holm p {p:.3f})"
            again = replace(again, status=INCONCLUSIVE, reason=reason)
        result.append(again)
    return result


def _undecided(metric: GatedMetric, role: str, found: Sequence[Effect], reason: str) -> MetricVerdict:
    declared = catalog.METRICS.get(metric.metric)
    return MetricVerdict(
        metric=metric.metric,
        statistic=metric.statistic,
        unit="" if declared is None else declared.unit,
        role=role,
        kind=metric.kind,
        better=metric.better,
        status=INCONCLUSIVE,
        reason=reason,
        margin=metric.margin,
        effect=None,
        low=None,
        high=None,
        confidence=None,
        method=None,
        n=len(found),
        values=[PairValue(e.index, e.baseline, e.candidate, e.d) for e in found],
    )


def _invalid(measured: int, kept: int, rule: Rule) -> str | None:
    left_out = measured - kept
    if measured and kept == 0:
        return f"INVALID: none of {measured} pairs can be used."
    if left_out and measured >= rule.minimum_pairs and kept < rule.minimum_pairs:
        return f"INVALID: only {kept} of {measured} pairs can be used."
    return None


def _off_schedule(n: int, rule: Rule) -> list[str]:
    if n in rule.looks or n < rule.minimum_pairs:
        return []
    declared = ", ".join(map(str, rule.looks))
    return [f"{n} pairs are none of the declared looks ({declared}): counted as one look more"]


def _narrow_margin(verdict: MetricVerdict) -> list[str]:
    seen, margin = verdict.minimum_detectable_effect, verdict.margin
    if seen is None or margin is None or margin >= 2 * seen:
        return []
    return [
        f"{verdict.metric} {verdict.statistic}: the margin {margin:.3g} is below twice the minimum detectable effect"
        f" {seen:.3g} of {verdict.n} pairs; widen it, lengthen the window, or measure more pairs"
    ]


def _next_step(status: str, judged: Sequence[MetricVerdict]) -> str | None:
    if status == FAIL:
        return "do not promote: compare the two runs' reports to see where the time went"
    if status == PASS:
        return None
    waiting = [m for m in judged if m.status == INCONCLUSIVE]
    needed = [m.more_pairs_needed for m in waiting]
    if waiting and all(m.n == 0 for m in waiting):
        return f"make {waiting[0].metric} {waiting[0].statistic} available: {waiting[0].reason}"
    if any(n is None for n in needed):
        return "measure more pairs, or lengthen the window: the effect is too near to the margin, or a value is missing"
    return f"measure about {max(n for n in needed if n is not None)} more pairs"
