"""The text of README.md beside this file, generated from the catalog. `python -m harness.metrics.readme` writes it."""

from __future__ import annotations

from pathlib import Path

from harness.metrics.catalog import METRICS, METRICS_VERSION, Metric
from harness.metrics.order_statistics import smallest_n
from harness.metrics.percentile import PERCENTILES

PATH = Path(__file__).parent / "README.md"

_HEAD = """\
# Metrics: definitions

Generated from `catalog.py` by `python -m harness.metrics.readme`; a test keeps the two in step. Version of the
definitions: {version}. A change of a definition raises it, and baselines of another version are not compared.

## The rules that hold for all

- **Window and cohort.** The window is [start, end) in time. The cohort is the requests *intended* in it (open
  loop), or *sent* in it (closed loop), by their instants, not by a label. Request- and chunk-level metrics, ratios
  and goodput are of the cohort; rates are of the interval, whoever sent the request.
- **Origin.** Latency counts from the intended instant (open loop) or from the send (closed loop). `…_from_send`
  always counts from the send.
- **Failures are not left out.** A request that failed, or ended well without the event, ranks behind every observed
  value. A percentile that falls among such requests reads "> x": x is the largest observed value or the elapsed
  time of the request at that rank, whichever is larger. (In `output_token_throughput_per_user` they rank lowest: "<
  x".) A max with failures reads "> x"; a mean counts each with its elapsed time and reads "> x".
- **Planned cancellations** are no failures. They enter where they reached the event (first token, second token,
  gaps), not where the end of the answer is needed (latency, TPOT, output length), and are left out of attainment.
- **Percentile** = the smallest value with at least p·n values at or below it (`inverted_cdf`), shown from the n at
  which a 95% order-statistic interval exists: {minimum}.
- **Repetitions** are never pooled: a point's value is the median of its repetitions' values, with their range.
  Repetitions that were cut short count only where no complete one exists.
- **Overload.** A search probe that was stopped as saturated, and an open loop whose requests in flight kept growing,
  show no statistic of latencies: it would only say for how long the overload was watched. Counts and rates stay.
- **Token counts** are the server's where it gives them, else the client's (tokenizer, or token ids received), else,
  for outputs, one per chunk with text; `token_sources` in `metrics.json` names who counted. Where a total and the
  chunks disagree, the total is spread over the chunks.
- **A chunk** is a response that carries at least one output token. An empty first chunk is none.
- **Units**: times in ns, rates per second, ratios 0 to 1. The report scales.

## The metrics

`better`: which direction is an improvement. `level`: what there is one number per.

| metric | unit | better | level | definition | needs |
|---|---|---|---|---|---|
"""

_ELSEWHERE = """
## What other tools call them

The same word means different things elsewhere: "ITL" is a mean per request in AIPerf, GenAI-Perf and GuideLLM, and
the distribution of gaps in vLLM; "TPOT" includes the first token in GuideLLM only. Other tools count from the send,
so in an open loop their figures compare with ours `_from_send`.

| here | elsewhere |
|---|---|
"""


def text() -> str:
    """The whole README."""
    minimum = ", ".join(f"{name} {smallest_n(permille):,}" for name, permille in PERCENTILES.items())
    rows = "".join(_row(metric) for metric in METRICS.values())
    words = "".join(f"| `{metric.name}` | {metric.elsewhere} |\n" for metric in METRICS.values())
    return _HEAD.format(version=METRICS_VERSION, minimum=minimum) + rows + _ELSEWHERE + words


def _row(metric: Metric) -> str:
    needs = ", ".join(need.replace("_", " ") for need in metric.needs) or "–"
    title = f"`{metric.name}` {metric.title}"
    return f"| {title} | {metric.unit} | {metric.better or '–'} | {metric.level} | {metric.definition} | {needs} |\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
