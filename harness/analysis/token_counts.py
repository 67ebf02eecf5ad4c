"""The validity reason `token_counts`: server against client, and both against what was asked.

A point is named by its lengths. Where they were not what the name says, or the two who counted disagree, throughput and
TPOT are about something else. Counted are requests of the cohort that ended well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis.evidence import Evidence, MeasuredRepetition
from harness.analysis.thresholds import TOKEN_COUNT_DEVIATION, TOKEN_COUNT_SHARE
from harness.metrics.columns import Flags, Ints, Rows, known
from harness.metrics.results import Reason


@dataclass(frozen=True)
class _Comparison:
    """Two counts of the same tokens that ought to agree."""

    counted: str  # columns, the first known one of each row counts
    fallback: str
    against: str
    words: str
    advice: str


_TOKENIZER = "is the tokenizer the server's own? Give attach.tokenizer the file the server uses"
_COMPARISONS = (
    _Comparison("output_tokens_server", "", "output_tokens_client", "output tokens, server against client", _TOKENIZER),
    _Comparison("input_tokens_server", "", "input_tokens_client", "input tokens, server against client", _TOKENIZER),
    _Comparison(
        "output_tokens_server",
        "output_tokens_client",
        "output_tokens_asked",
        "output tokens, achieved against asked",
        "does the server clamp at max_seq_len, or stop at an end token? Ask for less, or raise its limit",
    ),
    _Comparison(
        "input_tokens_server",
        "input_tokens_client",
        "input_tokens_asked",
        "input tokens, achieved against asked",
        "does the server add special tokens or cut prompts? Compare its tokenizer with the harness's",
    ),
)


def find(evidence: Evidence) -> Iterator[Reason]:
    """One reason per pair of counts that disagree: SUSPECT by their number, INVALID by how far they are apart."""
    for pair in _COMPARISONS:
        far = [_deviation(r, pair) > TOKEN_COUNT_DEVIATION for r in evidence.repetitions]
        severity = "INVALID" if any(far) else "SUSPECT"
        yield from evidence.reason("token_counts", severity, partial(_words, pair), pair.advice)


def _words(pair: _Comparison, r: MeasuredRepetition) -> str | None:
    counted, against = _both(r, pair)
    different = int((counted != against).sum())
    if counted.size == 0 or (different <= TOKEN_COUNT_SHARE * counted.size):
        return None
    return (
        f"{pair.words}: {different} of {counted.size} requests differ"
        f" (means {counted.mean():.1f} and {against.mean():.1f})"
    )


def _deviation(r: MeasuredRepetition, pair: _Comparison) -> float:
    counted, against = _both(r, pair)
    return float(np.abs(counted - against).sum() / max(1, against.sum())) if counted.size else 0.0


def _both(r: MeasuredRepetition, pair: _Comparison) -> tuple[Ints, Ints]:
    """The two counts of the requests that have both."""
    counted, against = _column(r.rows, pair.counted), _column(r.rows, pair.against)
    if pair.fallback:
        counted = np.where(known(counted), counted, _column(r.rows, pair.fallback))
    chosen = r.cohort & r.rows.ok & known(counted) & known(against)
    if pair.against == "input_tokens_asked":
        chosen = chosen & _planned_to_the_token(r)
    return counted[chosen], against[chosen]


def _planned_to_the_token(r: MeasuredRepetition) -> Flags:
    """Not the turns that repeat a real reply, nor texts of a file that nobody here could count."""
    from_file = pc.is_in(r.rows.table["workload_part"], value_set=pa.array(r.parts_from_file, pa.string()))
    guessed = np.asarray(from_file.to_numpy(zero_copy_only=False)) & ~known(r.rows.input_tokens_client)
    return np.asarray(~(guessed | r.reply_turns), dtype=bool)


def _column(rows: Rows, name: str) -> Ints:
    values: Ints = getattr(rows, name)
    return values
