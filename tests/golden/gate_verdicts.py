"""Verdicts of every kind, CONSTRUCTED: no server was measured. The same at every call.

The intervals are those of a paired t over made-up pairs; the rule itself (Holm, looks) is not part of these samples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from scipy import stats

from harness.gate.verdict import (
    FAIL,
    GATING,
    INCONCLUSIVE,
    INFORMATION,
    INVALID,
    NOT_COMPARABLE,
    PASS,
    FieldComparison,
    MetricVerdict,
    PairValue,
    Verdict,
)

MS = 1e6
PAIRS = 6
SMALL = (0.002, -0.003, 0.006, -0.001, 0.0, 0.004, 0.01)  # losses that no gate should mind, metric by metric
DEVIATIONS = (-1.3, 0.9, -0.4, 1.1, 0.3, -0.6)  # of d from its mean, in standard deviations (nearly)
METRICS = (  # metric, statistic, unit, kind, better, margin, value of the baseline
    ("goodput", "value", "per_s", "log_ratio", "higher", 0.05, 3.9),
    ("time_to_first_token", "p95", "ns", "log_ratio", "lower", 0.05, 412 * MS),
    ("time_per_output_token", "p95", "ns", "log_ratio", "lower", 0.05, 31.5 * MS),
    ("output_token_throughput", "value", "per_s", "log_ratio", "higher", 0.05, 1240.0),
    ("error_ratio", "value", "ratio", "difference", "lower", 0.01, 0.001),
    ("output_tokens", "mean", "tokens", "equivalence", None, 0.10, 128.0),
    ("request_latency", "p95", "ns", "log_ratio", "lower", None, 4100 * MS),
)
IDENTITY = [
    FieldComparison("engine.max_batch_size", 8, 4, "declared", True),
    FieldComparison("gpu_product", "NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3", "same", True),
    FieldComparison("scenario.load", "closed_loop, concurrency 16", "closed_loop, concurrency 16", "same", True),
    FieldComparison("metrics_version", 1, 1, "same", True),
    FieldComparison("gpu_driver", "570.86.15", "570.124.06", "undeclared", False),
    FieldComparison("tokenizer_hash", None, None, "unknown", True),
]


def verdicts() -> dict[str, Verdict]:
    """Name → verdict: one of each status, in the order of a gate's life."""
    passing = _verdict(PASS, {"goodput": -0.01}, 0.015)
    failing = _verdict(FAIL, {"time_to_first_token": 0.13, "goodput": 0.012}, 0.02)
    undecided = _verdict(INCONCLUSIVE, {"time_to_first_token": 0.035, "time_per_output_token": 0.01}, 0.06)
    return {
        "pass": passing,
        "fail": failing,
        "inconclusive": undecided,
        "invalid": dataclasses.replace(
            failing,
            status=INVALID,
            sentence="the baseline answered no request in pair 3, so nothing can be compared.",
            metrics=[],
            next_step="look at the baseline's server, then measure again",
        ),
        "not-comparable": dataclasses.replace(
            passing,
            status=NOT_COMPARABLE,
            sentence="gpu_product differs, and it was not declared as the treatment.",
            metrics=[],
            identity=[
                FieldComparison("gpu_product", "NVIDIA A100-SXM4-80GB", "NVIDIA H100", "undeclared", True),
                *IDENTITY,
            ],
            look=None,
            next_step="measure both on the same GPU, or declare the difference",
        ),
    }


SENTENCES = {
    PASS: "the candidate is not slower: all 6 gating metrics are inside their margins.",
    FAIL: "the candidate is worse beyond the margin in TTFT p95.",
    INCONCLUSIVE: "6 pairs cannot decide TTFT p95 and TPOT p95; nothing was shown to be worse.",
}
NEXT = {
    PASS: None,
    FAIL: "compare the two reports; if the loss is meant, accept a new baseline with a reason",
    INCONCLUSIVE: "measure 10 more pairs: harness gate pair --time-budget-s 3600",
}


def _verdict(status: str, losses: Mapping[str, float], spread: float) -> Verdict:
    """`losses`: metric → true loss; all others 0. `spread`: standard deviation of d over pairs."""
    metrics = [_metric(*declared, losses.get(declared[0], 0.0), spread, turn) for turn, declared in enumerate(METRICS)]
    return Verdict(
        gate="pair",
        status=status,
        sentence=SENTENCES[status],
        scenario="constructed-gate",
        point_id="chat-c16",
        baseline="engine h100-fp8",
        candidate="engine h100-fp8-batch4",
        metrics=sorted(metrics, key=lambda m: m.role != GATING),
        identity=IDENTITY,
        pairs=PAIRS,
        look=1,
        looks=[6, 10, 16],
        alpha=0.05,
        warnings=["constructed: no server was measured"],
        next_step=NEXT[status],
    )


def _metric(
    metric: str,
    statistic: str,
    unit: str,
    kind: str,
    better: str | None,
    margin: float | None,
    level: float,
    true_loss: float,
    spread: float,
    turn: int,
) -> MetricVerdict:
    if kind == "difference":
        values = [_pair(index, level, level, 0.0) for index in range(PAIRS)]
        return _told(metric, statistic, unit, kind, better, margin, (0.0, 0.0, 0.0), 0.0, values, "value")
    sign = -1 if better == "higher" else 1
    values = []
    for index in range(PAIRS):
        drift = level * (1 + 0.01 * index)
        d = math.log1p(true_loss + SMALL[turn]) + DEVIATIONS[(index + turn) % PAIRS] * (
            spread if kind == "log_ratio" else 0.004
        )
        values.append(_pair(index, drift, drift * math.exp(sign * d), d))
    d = [pair.d for pair in values]
    mean, error = sum(d) / PAIRS, math.sqrt(sum((x - sum(d) / PAIRS) ** 2 for x in d) / (PAIRS - 1) / PAIRS)
    reach = error * stats.t.ppf(0.95, PAIRS - 1)
    effect = tuple(math.expm1(x) for x in (mean, mean - reach, mean + reach))
    noticed = math.expm1(error * (stats.t.ppf(0.95, PAIRS - 1) + stats.t.ppf(0.8, PAIRS - 1)))
    return _told(metric, statistic, unit, kind, better, margin, effect, noticed, values, "t")


def _pair(index: int, baseline: float, candidate: float, d: float) -> PairValue:
    """Rounded, so that every machine writes the same."""
    first = ("baseline", "candidate", "candidate")[index % 3]
    return PairValue(index, round(baseline, 6), round(candidate, 6), round(d, 6), first)


def _told(metric, statistic, unit, kind, better, margin, effect, noticed, values, method) -> MetricVerdict:
    mean, low, high = (round(number, 6) for number in effect)
    status = INCONCLUSIVE
    if margin is None or (high < margin and (kind != "equivalence" or low > -margin)):
        status = PASS
    elif low > margin:
        status = FAIL
    role = INFORMATION if margin is None else GATING
    reasons = {
        PASS: "the whole interval lies inside the margin",
        FAIL: f"between {100 * low:.1f}% and {100 * high:.1f}% worse, beyond the margin of {100 * (margin or 0):g}%",
        INCONCLUSIVE: "the interval crosses the margin",
    }
    more = 10 if status == INCONCLUSIVE else None
    return MetricVerdict(
        metric=metric, statistic=statistic, unit=unit, role=role, kind=kind, better=better, status=status,
        reason=reasons[status], margin=margin, effect=mean, low=low, high=high, confidence=0.9, method=method,
        n=PAIRS, minimum_detectable_effect=round(noticed, 6), more_pairs_needed=more, values=values,
    )  # fmt: skip
