"""How far the recorded instants are from what the truth server logged, on the one clock of this host. Nanoseconds.

The truth is taken at the server's system call, so the errors hold the way through the kernel too: upper bounds of what
the load generator itself adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.metrics.columns import Floats
from harness.metrics.order_statistics import rank
from harness.records.calibration import TimingLevel
from harness.truth.sent_log import SentRequest


def timing_level(
    streams: int, rows: Sequence[Mapping[str, Any]], log: Mapping[str, SentRequest], cpu_ratio: float
) -> TimingLevel | None:
    """The errors over these request rows; None when none of them is complete on both sides.

    Time to first token: (first token - sent) of the client less (sent first token - request complete) of the server.
    Gap: the absolute difference of each gap between chunks.
    """
    pairs = [(row, log[row["request_id"]]) for row in rows if _complete(row, log)]
    if not pairs:
        return None
    first = np.abs(np.asarray([_first_token_error(row, sent) for row, sent in pairs], dtype=np.float64))
    gaps = np.concatenate([_gap_errors(row, sent) for row, sent in pairs])
    return TimingLevel(
        streams=streams,
        time_to_first_token_error_p50_ns=percentile(first, 500),
        time_to_first_token_error_p99_ns=percentile(first, 990),
        gap_error_p99_ns=percentile(gaps, 990),
        cpu_ratio=cpu_ratio,
        samples=len(pairs),
    )


def percentile(values: Floats, permille: int) -> float:
    """The smallest value with at least this share of the values at or below it; 0 without values."""
    return float(np.sort(values)[rank(permille, values.size) - 1]) if values.size else 0.0


def _complete(row: Mapping[str, Any], log: Mapping[str, SentRequest]) -> bool:
    sent = log.get(row["request_id"])
    return row["outcome"] == "ok" and sent is not None and len(sent.chunk_sent_ns) == len(row["chunk_offsets_ns"])


def _first_token_error(row: Mapping[str, Any], sent: SentRequest) -> int:
    truth = (sent.first_token_sent_ns or 0) - sent.request_complete_ns
    return int(row["first_token_ns"] - row["sent_ns"] - truth)


def _gap_errors(row: Mapping[str, Any], sent: SentRequest) -> Floats:
    seen, true = np.diff(np.asarray(row["chunk_offsets_ns"])), np.diff(np.asarray(sent.chunk_sent_ns))
    return np.asarray(np.abs(seen - true), dtype=np.float64)
