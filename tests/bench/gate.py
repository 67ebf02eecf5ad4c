"""The gate's operating characteristics by simulation: `python -m tests.bench.gate [--gates N] [--series FILE …]`.

Every cell runs the real `decide` look by look on simulated pairs. `--series` takes files like the Redis series of the
Azure VM noise data set (columns value, starttime, VM_id; higher is better): neighbours in time on one VM form a pair.
Not a test: it prints what `tests/unit/gate` asserts in small.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from harness.gate.decision import decide
from harness.gate.methods import gated
from harness.gate.pairs import Pair
from harness.gate.rule import GatedMetric, Rule
from harness.gate.verdict import FAIL, INCONCLUSIVE, PASS
from harness.metrics.results import Value

SERIES = Path(__file__).parents[3] / "shared" / "data" / "redis_get_d8s_v5.csv"
CONTINUOUS = (
    gated("goodput", "value"),
    gated("time_to_first_token", "p95"),
    gated("time_per_output_token", "p95"),
    gated("output_token_throughput", "value"),
)
WHOLE = Rule((*CONTINUOUS, gated("error_ratio", "value"), gated("output_tokens", "mean")))
Outcomes = Counter[tuple[str, int]]  # (status, pairs at which the gate stopped) → gates


def pair(index: int, losses: Mapping[GatedMetric, float]) -> Pair:
    """A pair with the given d per metric (ln ratio; for shares the difference from 0)."""
    baseline, candidate = {}, {}
    for metric, d in losses.items():
        before = 0.0 if metric.kind == "difference" else 100.0
        sign = -1 if metric.better == "higher" else 1
        after = sign * d if metric.kind == "difference" else before * math.exp(sign * d)
        baseline[metric.key], candidate[metric.key] = Value(before, "", 1000), Value(after, "", 1000)
    return Pair(index, "baseline", baseline, candidate)


def simulated(rule: Rule, truth: Mapping[GatedMetric, float], spread: float, random: np.random.Generator) -> list[Pair]:
    """Pairs up to the last look: relative loss `truth` (0 elsewhere), normal noise on ratios, none on the rest."""

    def losses() -> dict[GatedMetric, float]:
        return {
            m: math.log1p(truth.get(m, 0.0)) + (random.normal(0, spread) if m.kind == "log_ratio" else 0.0)
            for m in rule.metrics
        }

    return [pair(i, losses()) for i in range(rule.looks[-1])]


def ending(pairs: list[Pair], rule: Rule) -> tuple[str, int]:
    """(status, pairs) of a gate that stops at the first look that decides."""
    for size in rule.looks:
        status = decide(pairs[:size], rule).status
        if status != INCONCLUSIVE:
            return status, size
    return INCONCLUSIVE, rule.looks[-1]


def outcomes(draw: Callable[[], list[Pair]], rule: Rule, gates: int) -> Outcomes:
    """How so many simulated gates end."""
    return Counter(ending(draw(), rule) for _ in range(gates))


def share(found: Outcomes, status: str, by: int) -> float:
    """The share of all gates that ended so with at most `by` pairs."""
    return sum(n for (s, size), n in found.items() if s == status and size <= by) / sum(found.values())


def row(label: str, found: Outcomes, rule: Rule) -> str:
    """One line: PASS and FAIL by each look, and what stayed open."""
    cells = [f"{100 * share(found, status, n):6.1f}%" for status in (PASS, FAIL) for n in rule.looks]
    return f"{label:<48}" + "".join(cells) + f"{100 * share(found, INCONCLUSIVE, rule.looks[-1]):8.1f}%"


def heading(title: str, rule: Rule) -> str:
    """The table's head."""
    names = [f"{status[0]} ≤{n}".rjust(7) for status in (PASS, FAIL) for n in rule.looks]
    return f"\n{title}\n{'truth (P, F: PASS, FAIL by so many pairs)':<48}" + "".join(names) + "     open"


def synthetic(gates: int, seed: int) -> Iterator[str]:
    """One metric at one look, then the whole rule."""
    random = np.random.default_rng(seed)
    for metric in CONTINUOUS[:2]:
        rule = Rule((metric,), looks=(6,))
        yield heading(f"one metric ({metric.method}), one look, spread 3%, margin 5%, {gates} gates", rule)
        for loss in (0.0, 0.05, 0.10):
            found = outcomes(lambda m=metric, r=rule, x=loss: simulated(r, {m: x}, 0.03, random), rule, gates)  # type: ignore[misc]
            yield row(f"{metric.metric} {loss:+.0%}", found, rule)
    yield heading(f"whole rule, four metrics with spread 3%, Holm, {gates} gates", WHOLE)
    for metric, loss in [(CONTINUOUS[0], 0.0), *((m, x) for x in (0.05, 0.10) for m in CONTINUOUS[:2])]:
        found = outcomes(lambda m=metric, x=loss: simulated(WHOLE, {m: x}, 0.03, random), WHOLE, gates)  # type: ignore[misc]
        yield row("no change" if loss == 0 else f"{metric.metric} ({metric.method}) {loss:+.0%}", found, WHOLE)


def effects_of_series(path: Path) -> Iterator[np.ndarray]:
    """Per VM in time order: d = ln(first/second) of neighbours (higher is better)."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for vm in sorted({r["VM_id"] for r in rows}):
        ordered = sorted((r["starttime"], float(r["value"])) for r in rows if r["VM_id"] == vm)
        values = np.log([value for _, value in ordered])
        yield values[: len(values) // 2 * 2 : 2] - values[1::2]


def series(path: Path) -> Iterator[str]:
    """Every run of 16 neighbouring pairs is one gate: unchanged, scaled to the margin, scaled by 15%."""
    blocks = [d[i : i + 16] for d in effects_of_series(path) for i in range(0, len(d) - 15, 16)]
    for method in ("t", "signed_rank"):
        metric = GatedMetric("request_throughput", "value", "log_ratio", 0.05, "higher", method)  # type: ignore[arg-type]
        rule = Rule((metric,))
        yield heading(f"{path.name}, {method}, margin 5%, {len(blocks)} gates", rule)
        for loss in (0.0, 0.05, 0.15):
            gates = iter(blocks)
            draw = lambda x=loss, g=gates, m=metric: [  # noqa: E731
                pair(i, {m: d + math.log1p(x)}) for i, d in enumerate(next(g))
            ]
            yield row(f"candidate scaled {loss:+.0%}", outcomes(draw, rule, len(blocks)), rule)


def main() -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gates", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--series", type=Path, nargs="*", default=[SERIES] if SERIES.exists() else [])
    options = parser.parse_args()
    for line in synthetic(options.gates, options.seed):
        print(line, flush=True)
    for path in options.series:
        for line in series(path):
            print(line, flush=True)


if __name__ == "__main__":
    main()
