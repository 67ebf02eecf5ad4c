"""Every metric, declared once: name, unit, direction, level, what it needs, what it means, and its formula.

A new metric is one entry here and one formula in `request.py` or `point.py`. Nothing else in the program decides by a
metric's name. A change of a definition raises METRICS_VERSION: baselines of another version are not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.metrics import point, request
from harness.metrics.percentile import Sample
from harness.metrics.repetition import Repetition
from harness.metrics.request import Column
from harness.metrics.results import Statistics

METRICS_VERSION = 1

Level = Literal["request", "chunk", "point"]
Formula = Callable[[Repetition], Column] | Callable[[Repetition], Sample] | Callable[[Repetition], Statistics]


@dataclass(frozen=True)
class Metric:
    """One metric. `level` says what there is one number per, and so which of the three things `formula` returns."""

    name: str
    title: str
    unit: str  # "ns", "per_s", "ratio", "tokens"
    better: Literal["lower", "higher"] | None
    level: Level
    definition: str
    formula: Formula
    needs: tuple[str, ...] = ()  # keys of availability.NEEDS
    elsewhere: str = "–"  # other tools' words for it


def _chunk_gaps(r: Repetition) -> Sample:
    return r.chunk_gaps


_DECLARED = (
    Metric(
        "time_to_first_token",
        "Time to first token (TTFT)",
        "ns",
        "lower",
        "request",
        "first chunk with at least one output token − intended (open loop) or − sent (closed loop)",
        request.time_to_first_token,
        needs=("streamed",),
        elsewhere="AIPerf, GenAI-Perf, GuideLLM: TTFT, always from the send; vLLM counts an empty first chunk",
    ),
    Metric(
        "time_to_first_token_from_send",
        "TTFT from send",
        "ns",
        "lower",
        "request",
        "first chunk with at least one output token − sent",
        request.time_to_first_token_from_send,
        needs=("streamed",),
        elsewhere="AIPerf, GenAI-Perf: `time_to_first_token`",
    ),
    Metric(
        "time_to_second_token",
        "Time to second token",
        "ns",
        "lower",
        "request",
        "second − first chunk that carries tokens (a gap, not counted from the start); only where ≥ 99% of first "
        "chunks carry exactly one token",
        request.time_to_second_token,
        needs=(
            "streamed",
            "single_first_tokens",
        ),
        elsewhere="AIPerf, GenAI-Perf: `time_to_second_token`",
    ),
    Metric(
        "inter_chunk_latency",
        "Inter-chunk latency",
        "ns",
        "lower",
        "chunk",
        "gaps between successive chunks (those that carry tokens) of a request, pooled over the cohort: a "
        "distribution; a failed request adds the gap that never ended as a limit",
        _chunk_gaps,
        needs=("streamed",),
        elsewhere="AIPerf: `inter_chunk_latency`; vLLM: ITL",
    ),
    Metric(
        "inter_token_latency",
        "Inter-token latency (ITL)",
        "ns",
        "lower",
        "chunk",
        "the same values, only where ≥ 99% of chunks carry exactly one token",
        _chunk_gaps,
        needs=(
            "streamed",
            "single_token_chunks",
        ),
        elsewhere="vLLM: ITL. AIPerf, GenAI-Perf, GuideLLM say ITL for our `time_per_output_token`",
    ),
    Metric(
        "time_per_output_token",
        "Time per output token (TPOT)",
        "ns",
        "lower",
        "request",
        "(last − first token) / (output tokens − 1), one number per request, undefined below 2 tokens",
        request.time_per_output_token,
        needs=("streamed",),
        elsewhere="AIPerf, GenAI-Perf, GuideLLM: ITL; vLLM: TPOT. GuideLLM's TPOT includes the first token",
    ),
    Metric(
        "request_latency",
        "Request latency",
        "ns",
        "lower",
        "request",
        "done − the same origin as TTFT",
        request.request_latency,
        elsewhere="AIPerf, GenAI-Perf, GuideLLM: `request_latency`, from the send; vLLM: E2EL, to the last token chunk",
    ),
    Metric(
        "request_latency_from_send",
        "Request latency from send",
        "ns",
        "lower",
        "request",
        "done − sent",
        request.request_latency_from_send,
        elsewhere="AIPerf, GenAI-Perf, GuideLLM: `request_latency`",
    ),
    Metric(
        "output_token_throughput_per_user",
        "Output tokens/s per user",
        "per_s",
        "higher",
        "request",
        "1 / time_per_output_token, one number per request; a failed request ranks lowest",
        request.output_token_throughput_per_user,
        needs=("streamed",),
        elsewhere="AIPerf, GenAI-Perf: `output_token_throughput_per_user`",
    ),
    Metric(
        "request_throughput",
        "Request throughput",
        "per_s",
        "higher",
        "point",
        "requests that ended `ok` in the window, whoever sent them / window length",
        point.request_throughput,
        elsewhere="AIPerf, GenAI-Perf: `request_throughput`, over the whole run",
    ),
    Metric(
        "output_token_throughput",
        "Output token throughput",
        "per_s",
        "higher",
        "point",
        "output tokens whose chunk arrived in the window, whoever sent the request / window length; those of an answer "
        "that was not streamed arrive when it is done",
        point.output_token_throughput,
        elsewhere="AIPerf, GenAI-Perf: `output_token_throughput`: all tokens of all requests / length of the run",
    ),
    Metric(
        "total_token_throughput",
        "Total token throughput",
        "per_s",
        "higher",
        "point",
        "the same plus the input tokens of requests whose first token (not streamed: answer) arrived in the window",
        point.total_token_throughput,
        elsewhere="vLLM: total token throughput",
    ),
    Metric(
        "output_token_throughput_per_gpu",
        "Output tokens/s per GPU",
        "per_s",
        "higher",
        "point",
        "output_token_throughput / GPU count of the deployment",
        point.output_token_throughput_per_gpu,
        needs=("gpu_count",),
        elsewhere="GenAI-Perf: `output_token_throughput_per_gpu`",
    ),
    Metric(
        "total_token_throughput_per_gpu",
        "Total tokens/s per GPU",
        "per_s",
        "higher",
        "point",
        "total_token_throughput / GPU count of the deployment",
        point.total_token_throughput_per_gpu,
        needs=("gpu_count",),
    ),
    Metric(
        "input_tokens",
        "Input tokens (ISL)",
        "tokens",
        None,
        "request",
        "input length achieved, as the server counts it, else the client's tokenizer",
        request.input_tokens,
        needs=("input_counts",),
        elsewhere="AIPerf, GenAI-Perf: `input_sequence_length`, counted by the client",
    ),
    Metric(
        "output_tokens",
        "Output tokens (OSL)",
        "tokens",
        None,
        "request",
        "output length achieved by requests that ended `ok`, as the server counts it, else the client",
        request.output_tokens,
        elsewhere="AIPerf, GenAI-Perf: `output_sequence_length`, counted by the client; GuideLLM, vLLM: by the server",
    ),
    Metric(
        "schedule_lag",
        "Schedule lag",
        "ns",
        "lower",
        "request",
        "sent − intended: the harness's own lateness, whatever became of the request",
        request.schedule_lag,
        needs=("open_loop",),
    ),
    Metric(
        "error_ratio",
        "Error ratio",
        "ratio",
        "lower",
        "point",
        "failed requests of the cohort / cohort, in all and by outcome; a planned cancellation is no failure",
        point.error_ratio,
        elsewhere="AIPerf: `error_request_count`, a number",
    ),
    Metric(
        "goodput",
        "Goodput",
        "per_s",
        "higher",
        "point",
        "cohort requests that ended `ok` and meet all per-request bounds / window length",
        point.goodput,
        needs=("bounds",),
        elsewhere="AIPerf, GenAI-Perf, vLLM: `goodput` (good requests/s)",
    ),
    Metric(
        "attainment",
        "Attainment",
        "ratio",
        "higher",
        "point",
        "the same requests / cohort (planned cancellations left out)",
        point.attainment,
        needs=("bounds",),
        elsewhere="MLPerf, GuideLLM: share of requests within the objectives",
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _DECLARED}
