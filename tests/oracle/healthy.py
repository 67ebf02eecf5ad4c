"""Healthy runs with the shape of real ones: users that wait for their answers, arrivals that follow their process.

Built on `runs.row`; whoever wants a sick run changes what these return. Instants are milliseconds after T0.
"""

from __future__ import annotations

import random
from typing import Any

from tests.oracle.runs import MS, Row, at, row

WINDOW_MS = (200.0, 900.0)
BURDEN = dict.fromkeys(("first_token_ns", "last_token_ns", "output_tokens_server", "output_tokens_client"))


def answered(
    index: int, sent_ms: float, *, first_ms: float = 2.0, lasts_ms: float = 3.8, tokens: int = 4, **changes: Any
) -> Row:
    """A request that was answered with `tokens` tokens from `first_ms` after its sending on, done after `lasts_ms`."""
    step = (lasts_ms - first_ms) / tokens
    offsets = [first_ms + step * i for i in range(tokens)]
    healthy = {
        "sent_ns": at(sent_ms),
        "first_token_ns": at(sent_ms + offsets[0]),
        "last_token_ns": at(sent_ms + offsets[-1]),
        "done_ns": at(sent_ms + lasts_ms),
        "chunk_offsets_ns": [round(offset * MS) for offset in offsets],
        "chunk_tokens": [1] * tokens,
    }
    return row(index, **{**healthy, **changes})


def closed_loop(
    n: int, *, concurrency: int = 2, window_ms: tuple[float, float] = WINDOW_MS, **changes: Any
) -> list[Row]:
    """`n` requests of `concurrency` users that fill the window without a pause."""
    length = window_ms[1] - window_ms[0]
    lasts = length * concurrency / n
    made = []
    for index in range(n):
        turn, user = divmod(index, concurrency)
        sent = window_ms[0] + (turn + user / concurrency) * lasts
        made.append(answered(index, sent, first_ms=lasts * 0.5, lasts_ms=lasts, **changes))
    return made


def open_loop(
    seconds: float,
    rate_per_s: float,
    *,
    process: str = "poisson",
    lag_ms: float = 0.2,
    lasts_ms: float = 80.0,
    seed: int = 1,
    burstiness: float = 1.0,
) -> list[Row]:
    """Arrivals of this process from T0 on, each sent `lag_ms` after its intended instant, answered in `lasts_ms`."""
    draw = random.Random(seed)
    gaps = {
        "poisson": lambda: draw.expovariate(rate_per_s),
        "gamma": lambda: draw.gammavariate(burstiness, 1 / (burstiness * rate_per_s)),
        "constant": lambda: 1 / rate_per_s,
    }
    made, intended_s = [], gaps[process]()
    while intended_s < seconds:
        intended_ms = intended_s * 1000
        sent = intended_ms + lag_ms * draw.uniform(0.5, 1.5)
        rows = answered(len(made), sent, first_ms=lasts_ms * draw.uniform(0.2, 0.3), lasts_ms=lasts_ms)
        made.append({**rows, "intended_ns": at(intended_ms)})
        intended_s += gaps[process]()
    return made


def failing(rows: list[Row], how_many: int, outcome: str = "timeout") -> list[Row]:
    """The first `how_many` of these rows, failed before their first token."""
    nothing = {**BURDEN, "chunk_offsets_ns": [], "chunk_tokens": [], "outcome": outcome}
    return [{**r, **nothing} if i < how_many else r for i, r in enumerate(rows)]
