"""What a metric needs before it can be said, and the reason that stands in its place when the need is not met."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.metrics.catalog import METRICS, Metric
from harness.metrics.repetition import Repetition

SINGLE_TOKEN_SHARE = 0.99  # STYLE, names: ITL exists where at least this share of chunks carries exactly one token


def unavailable(metric: Metric, r: Repetition) -> str | None:
    """Why this metric cannot be said of this repetition; None when it can."""
    reasons = (NEEDS[need](r) for need in metric.needs)
    return next((f"not available: {reason}" for reason in reasons if reason), None)


def _open_loop(r: Repetition) -> str | None:
    return None if r.open_loop else "a closed loop has no schedule"


def _streamed(r: Repetition) -> str | None:
    return None if r.streamed else "the answers were not streamed"


def _gpu_count(r: Repetition) -> str | None:
    return None if r.deployment.gpu_count else "the number of GPUs behind the target is not known"


def _input_counts(r: Repetition) -> str | None:
    asked = r.input.names.index("asked")
    counted = not r.cohort.any() or (r.input.source[r.cohort] != asked).any()
    return None if counted else "neither the server nor a tokenizer counted input tokens"


def _single_token_chunks(r: Repetition) -> str | None:
    chunks = int(r.chunks.chunks[r.cohort].sum())
    if chunks == 0:
        return None
    if _nobody_counted(r):
        return "nobody counted the tokens of a chunk"
    believed = r.cohort & (r.output.tokens == r.chunks.tokens)
    return _unless_single(int(r.chunks.single[believed].sum()), chunks, int(r.output.tokens[r.cohort].sum()), "chunks")


def _single_first_tokens(r: Repetition) -> str | None:
    started = r.cohort & (r.chunks.chunks > 0)
    if not started.any():
        return None
    first = r.chunks.first_tokens[started]
    return _unless_single(int((first == 1).sum()), first.size, int(first.sum()), "first chunks")


def _unless_single(single: int, chunks: int, tokens: int, noun: str) -> str | None:
    share = single / chunks
    if share >= SINGLE_TOKEN_SHARE:
        return None
    return f"{noun} carry {tokens / chunks:.3g} tokens ({share:.1%} carry exactly one)"


def _nobody_counted(r: Repetition) -> bool:
    server = r.output.names.index("server")
    return r.deployment.token_count_source == "chunks" and not (r.output.source[r.cohort] == server).any()


def _bounds(r: Repetition) -> str | None:
    if not r.bounds:
        return "no per-request bound"
    lacking = [bound.metric for bound in r.bounds if unavailable(METRICS[bound.metric], r)]
    return f"there is a bound on {lacking[0]}, which is not available" if lacking else None


NEEDS: Mapping[str, Callable[[Repetition], str | None]] = {
    "open_loop": _open_loop,
    "streamed": _streamed,
    "gpu_count": _gpu_count,
    "input_counts": _input_counts,
    "single_token_chunks": _single_token_chunks,
    "single_first_tokens": _single_first_tokens,
    "bounds": _bounds,
}
