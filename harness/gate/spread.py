"""What A/A pairs (a target against itself) say about a test bed: the spread of a pair, honest margins, false alarms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from harness.gate import claims, power, spending
from harness.gate.decision import decide
from harness.gate.effects import effects, usable
from harness.gate.pairs import BASELINE, CANDIDATE, Pair
from harness.gate.rule import GatedMetric, Rule
from harness.gate.verdict import FAIL, INCONCLUSIVE, PASS

RESAMPLED_GATES = 60
NOT_INDEPENDENT = "the gates are resampled from the same pairs and are not independent: the interval is too narrow"


@dataclass(frozen=True)
class MetricSpread:
    """One metric's noise on this test bed. `smallest_margin` is on the scale of the metric's margin."""

    metric: str
    statistic: str
    n: int
    spread: float | None  # standard deviation of d (ln ratio, or ratio points)
    smallest_margin: float | None  # twice the minimum detectable effect
    reason: str | None = None  # why there is none


@dataclass(frozen=True)
class FalseAlarms:
    """Gates built from A/A pairs, how they ended, and the share of FAIL with its Clopper-Pearson interval (95%)."""

    gates: int
    passed: int
    failed: int
    inconclusive: int
    fail_ratio: float
    low: float
    high: float
    note: str = NOT_INDEPENDENT


def spreads(pairs: Sequence[Pair], rule: Rule, look: int | None = None) -> list[MetricSpread]:
    """The spread of each gating metric, and the smallest honest margin at a declared look (from 1; None: the last)."""
    kept = usable(pairs, rule.metrics).pairs
    size = rule.looks[-1] if look is None else rule.looks[look - 1]
    return [_spread(kept, metric, rule, size) for metric in rule.metrics]


def _spread(pairs: Sequence[Pair], metric: GatedMetric, rule: Rule, size: int) -> MetricSpread:
    found = effects(pairs, metric)
    if not isinstance(found, tuple):
        return MetricSpread(metric.metric, metric.statistic, 0, None, None, found.reason)
    d = np.asarray([e.d for e in found])
    if d.size < rule.minimum_pairs or not np.isfinite(d).all():
        reason = f"needs {rule.minimum_pairs} pairs with finite effects"
        return MetricSpread(metric.metric, metric.statistic, int(d.size), None, None, reason)
    spread = float(d.std(ddof=1))
    level = spending.nominal_level(rule.alpha, spending.schedule(rule, metric, size))
    seen = power.minimum_detectable(power.cautious_spread(spread, int(d.size)), size, level)
    return MetricSpread(metric.metric, metric.statistic, int(d.size), spread, claims.people(metric, 2 * seen))


def false_alarms(pairs: Sequence[Pair], rule: Rule, seed: int, gates: int = RESAMPLED_GATES) -> FalseAlarms:
    """Gates of the rule's looks, drawn without replacement from A/A pairs; the arms of each pair swapped at random."""
    random = np.random.default_rng(seed)
    statuses = [sequential(_drawn(pairs, rule.looks[-1], random), rule) for _ in range(gates)]
    failed = statuses.count(FAIL)
    low, high = clopper_pearson(failed, gates)
    ended = statuses.count(PASS), failed, statuses.count(INCONCLUSIVE)
    return FalseAlarms(gates, *ended, failed / gates if gates else math.nan, low, high)


def _drawn(pairs: Sequence[Pair], size: int, random: np.random.Generator) -> list[Pair]:
    chosen = random.permutation(len(pairs))[:size]
    swap = random.random(chosen.size) < 0.5
    return [swapped(pairs[i]) if s else pairs[i] for i, s in zip(chosen, swap, strict=True)]


def swapped(pair: Pair) -> Pair:
    """The same pair with its arms exchanged; of a target against itself it means the same."""
    return replace(
        pair,
        first=CANDIDATE if pair.first == BASELINE else BASELINE,
        baseline=pair.candidate,
        candidate=pair.baseline,
        baseline_ok=pair.candidate_ok,
        candidate_ok=pair.baseline_ok,
    )


def sequential(pairs: Sequence[Pair], rule: Rule) -> str:
    """The status of a gate that stops at the first declared look that decides."""
    status = INCONCLUSIVE
    for look, size in enumerate(rule.looks, 1):
        if len(pairs) < size and look > 1:
            break
        status = decide(pairs[:size], rule).status
        if status != INCONCLUSIVE:
            break
    return status


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a share (Clopper & Pearson, Biometrika 26, 1934)."""
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(stats.beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high
