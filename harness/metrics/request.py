"""Formulas of the request-level metrics: one number per request, or a limit, or nothing.

A request that failed, or ended well without the event, has a limit: the time it was waited for. A planned cancellation
enters where it reached the event, and nowhere else. Times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.metrics.columns import Flags, Floats, Ints, known
from harness.metrics.percentile import Sample
from harness.metrics.repetition import Repetition

NS_PER_S = 1e9


@dataclass(frozen=True)
class Column:
    """A metric of every request: a value where `observed`, a limit where `unobserved`, else undefined."""

    values: Floats
    observed: Flags
    unobserved: Flags
    failures_rank: Literal["highest", "lowest"] = "highest"

    def sample(self, rows: Flags) -> Sample:
        """The values of these requests."""
        return Sample(
            self.values[self.observed & rows], np.maximum(self.values[self.unobserved & rows], 0), self.failures_rank
        )


def _column(r: Repetition, values: Ints | Floats, limits: Ints | Floats, reached: Flags, defined: Flags) -> Column:
    observed = reached & defined & ~r.rows.failed
    unobserved = defined & (r.rows.failed | (r.rows.ok & ~reached))
    merged = np.where(observed, values, np.where(unobserved, limits, np.nan)).astype(np.float64)
    return Column(merged, observed, unobserved)


def _always(r: Repetition) -> Flags:
    return np.ones(len(r.rows), dtype=bool)


def _since(instants: Ints, start: Ints) -> Ints:
    """instants - start, 0 where start is missing."""
    return np.where(known(start), instants - np.where(known(start), start, 0), 0)


def time_to_first_token(r: Repetition) -> Column:
    """first token - origin."""
    return _from(r, r.origin_ns, r.rows.first_token_ns, known(r.rows.first_token_ns))


def time_to_first_token_from_send(r: Repetition) -> Column:
    """first token - sent."""
    return _from(r, r.rows.sent_ns, r.rows.first_token_ns, known(r.rows.first_token_ns))


def request_latency(r: Repetition) -> Column:
    """done - origin."""
    return _from(r, r.origin_ns, r.rows.done_ns, known(r.rows.done_ns) & ~r.rows.cancelled)


def request_latency_from_send(r: Repetition) -> Column:
    """done - sent."""
    return _from(r, r.rows.sent_ns, r.rows.done_ns, known(r.rows.done_ns) & ~r.rows.cancelled)


def _from(r: Repetition, origin: Ints, event: Ints, reached: Flags) -> Column:
    return _column(r, _since(event, origin), _since(r.ended_ns, origin), reached & known(origin), _always(r))


def time_to_second_token(r: Repetition) -> Column:
    """second - first chunk that carries tokens; undefined where the first carries several, or only one was to come."""
    chunks, failed = r.chunks, r.rows.failed
    two_tokens = np.where(failed, r.rows.output_tokens_asked >= 2, (r.output.tokens >= 2) | (chunks.chunks >= 2))
    defined = two_tokens & (chunks.first_tokens <= 1)
    return _column(r, chunks.first_gap_ns, _since(r.ended_ns, r.rows.first_token_ns), chunks.chunks >= 2, defined)


def time_per_output_token(r: Repetition) -> Column:
    """(last - first token) / (output tokens - 1); undefined below two tokens.

    The limit of a failed request is the time since its first token over the steps asked: it was no faster.
    """
    rows = r.rows
    tokens = np.where(rows.failed, rows.output_tokens_asked, r.output.tokens)
    steps = np.maximum(tokens - 1, 1)
    reached = known(rows.first_token_ns) & known(rows.last_token_ns) & ~rows.cancelled
    limits = _since(r.ended_ns, rows.first_token_ns) / steps
    return _column(r, _since(rows.last_token_ns, rows.first_token_ns) / steps, limits, reached, tokens >= 2)


def output_token_throughput_per_user(r: Repetition) -> Column:
    """1 / time_per_output_token, in tokens per second; undefined where all tokens arrived at one instant."""
    spacing = time_per_output_token(r)
    with np.errstate(divide="ignore"):
        values = NS_PER_S / np.maximum(spacing.values, 0)
    return Column(values, spacing.observed & (spacing.values > 0), spacing.unobserved, "lowest")


def schedule_lag(r: Repetition) -> Column:
    """sent - intended, whatever became of the request; one that was never sent has its wait as limit."""
    sent = known(r.rows.sent_ns)
    lag = _since(np.where(sent, r.rows.sent_ns, r.ended_ns), r.rows.intended_ns)
    planned = known(r.rows.intended_ns)
    return Column(lag.astype(np.float64), sent & planned, ~sent & planned)


def input_tokens(r: Repetition) -> Column:
    """Input tokens as counted by server or client; undefined where nobody counted."""
    counted = r.input.source != r.input.names.index("asked")
    return Column(r.input.tokens.astype(np.float64), counted, np.zeros_like(counted))


def output_tokens(r: Repetition) -> Column:
    """Output tokens of requests that ended well."""
    return Column(r.output.tokens.astype(np.float64), r.rows.ok, np.zeros_like(r.rows.ok))


FORMULAS: Mapping[str, Callable[[Repetition], Column]] = {
    formula.__name__: formula
    for formula in (
        time_to_first_token,
        time_to_first_token_from_send,
        time_to_second_token,
        time_per_output_token,
        output_token_throughput_per_user,
        request_latency,
        request_latency_from_send,
        schedule_lag,
        input_tokens,
        output_tokens,
    )
}
