"""The metrics, written again from their definitions: dictionaries, loops, fractions. Slow, obvious, independent.

Nothing of `harness.metrics` is imported here. A request contributes ("seen", value), ("beyond", limit) or nothing.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
Entry = tuple[str, Fraction]
FAILED = ("timeout", "connect_error", "rejected", "server_error", "bad_stream", "not_sent")
SHARES = {
    "p50": Fraction(1, 2),
    "p90": Fraction(9, 10),
    "p95": Fraction(95, 100),
    "p99": Fraction(99, 100),
    "p999": Fraction(999, 1000),
}
NEEDED = {"p50": 6, "p90": 36, "p95": 72, "p99": 368, "p999": 3688}


class Oracle:
    """The metrics of one repetition. `bounds`: metric → largest value (for `…_per_user`: smallest)."""

    def __init__(
        self,
        rows: list[Row],
        *,
        window: tuple[int, int],
        until: int,
        open_loop: bool,
        bounds: dict[str, float] | None = None,
    ) -> None:
        self.rows = rows
        self.start, self.end = window
        self.until = until
        self.origin = "intended_ns" if open_loop else "sent_ns"
        self.bounds = bounds or {}
        self.cohort = [r for r in rows if self.in_window(r[self.origin])]

    def in_window(self, instant: int | None) -> bool:
        return instant is not None and self.start <= instant < self.end

    def seconds(self) -> Fraction:
        return Fraction(self.end - self.start, 10**9)

    def ended(self, r: Row) -> int:
        return self.until if r["done_ns"] is None else r["done_ns"]

    # --- one request

    def chunks(self, r: Row) -> list[tuple[int, int]]:
        pairs = zip(r["chunk_offsets_ns"], r["chunk_tokens"], strict=True)
        return [(r["sent_ns"] + offset, tokens) for offset, tokens in pairs if tokens > 0]

    def output(self, r: Row) -> int:
        for count in (r["output_tokens_server"], r["output_tokens_client"]):
            if count is not None:
                return count
        return sum(tokens for _, tokens in self.chunks(r))

    def input(self, r: Row) -> int:
        for count in (r["input_tokens_server"], r["input_tokens_client"]):
            if count is not None:
                return count
        return r["input_tokens_asked"]

    def _span(self, r: Row, origin: str, event: str, *, cancelled_counts: bool) -> Entry | None:
        start, reached = r[origin], r[event]
        limit = ("beyond", Fraction(0 if start is None else max(0, self.ended(r) - start)))
        if r["outcome"] in FAILED:
            return limit
        if r["outcome"] == "cancelled" and (reached is None or not cancelled_counts):
            return None
        return limit if reached is None else ("seen", Fraction(reached - start))

    def time_to_first_token(self, r: Row) -> Entry | None:
        return self._span(r, self.origin, "first_token_ns", cancelled_counts=True)

    def time_to_first_token_from_send(self, r: Row) -> Entry | None:
        return self._span(r, "sent_ns", "first_token_ns", cancelled_counts=True)

    def request_latency(self, r: Row) -> Entry | None:
        return self._span(r, self.origin, "done_ns", cancelled_counts=False)

    def request_latency_from_send(self, r: Row) -> Entry | None:
        return self._span(r, "sent_ns", "done_ns", cancelled_counts=False)

    def _since_first(self, r: Row) -> Fraction:
        first = r["first_token_ns"]
        return Fraction(0 if first is None else max(0, self.ended(r) - first))

    def time_to_second_token(self, r: Row) -> Entry | None:
        chunks = self.chunks(r)
        if chunks and chunks[0][1] > 1:
            return None
        if r["outcome"] in FAILED:
            return ("beyond", self._since_first(r)) if r["output_tokens_asked"] >= 2 else None
        if len(chunks) >= 2:
            return ("seen", Fraction(chunks[1][0] - chunks[0][0]))
        return ("beyond", self._since_first(r)) if r["outcome"] == "ok" and self.output(r) >= 2 else None

    def time_per_output_token(self, r: Row) -> Entry | None:
        if r["outcome"] == "cancelled":
            return None
        if r["outcome"] in FAILED:
            asked = r["output_tokens_asked"]
            return ("beyond", self._since_first(r) / (asked - 1)) if asked >= 2 else None
        tokens = self.output(r)
        if tokens < 2:
            return None
        if r["first_token_ns"] is None:
            return ("beyond", Fraction(0))
        return ("seen", Fraction(r["last_token_ns"] - r["first_token_ns"], tokens - 1))

    def schedule_lag(self, r: Row) -> Entry | None:
        if r["intended_ns"] is None:
            return None
        if r["sent_ns"] is None:
            return ("beyond", Fraction(max(0, self.ended(r) - r["intended_ns"])))
        return ("seen", Fraction(r["sent_ns"] - r["intended_ns"]))

    def input_tokens(self, r: Row) -> Entry | None:
        counted = r["input_tokens_server"] is not None or r["input_tokens_client"] is not None
        return ("seen", Fraction(self.input(r))) if counted else None

    def output_tokens(self, r: Row) -> Entry | None:
        return ("seen", Fraction(self.output(r))) if r["outcome"] == "ok" else None

    # --- the cohort

    def entries(self, metric: str) -> list[Entry]:
        if metric == "inter_chunk_latency":
            return [entry for r in self.cohort for entry in self._gaps(r)]
        found = (getattr(self, metric)(r) for r in self.cohort)
        return [entry for entry in found if entry is not None]

    def _gaps(self, r: Row) -> list[Entry]:
        instants = [instant for instant, _ in self.chunks(r)]
        gaps = [("seen", Fraction(b - a)) for a, b in itertools.pairwise(instants)]
        if r["outcome"] in FAILED and instants:
            gaps.append(("beyond", Fraction(max(0, self.ended(r) - instants[-1]))))
        return gaps

    def per_user(self) -> list[float]:
        """Observed tokens per second, and 0 for every failure: they rank lowest."""
        rates = []
        for kind, value in self.entries("time_per_output_token"):
            if kind == "beyond":
                rates.append(0.0)
            elif value > 0:
                rates.append(float(10**9 / value))
        return sorted(rates)

    def single_token_share(self, *, first_only: bool = False) -> float | None:
        single = total = 0
        for r in self.cohort:
            chunks = self.chunks(r)
            believed = first_only or self.output(r) == sum(tokens for _, tokens in chunks)
            for _, tokens in chunks[:1] if first_only else chunks:
                total += 1
                single += believed and tokens == 1
        return single / total if total else None

    # --- the window

    def output_token_throughput(self) -> float:
        return float(self._tokens_in_window() / self.seconds())

    def total_token_throughput(self) -> float:
        inputs = sum(self.input(r) for r in self.rows if self.in_window(r["first_token_ns"]))
        return float((self._tokens_in_window() + inputs) / self.seconds())

    def request_throughput(self) -> float:
        done = [r for r in self.rows if r["outcome"] == "ok" and self.in_window(r["done_ns"])]
        return float(len(done) / self.seconds())

    def _tokens_in_window(self) -> Fraction:
        total = Fraction(0)
        for r in self.rows:
            chunks = self.chunks(r)
            counted = sum(tokens for _, tokens in chunks)
            for instant, tokens in chunks:
                if self.in_window(instant):
                    total += Fraction(tokens * self.output(r), counted)
        return total

    def error_ratio(self, *outcomes: str) -> float | None:
        failures = [r for r in self.cohort if r["outcome"] in (outcomes or FAILED)]
        return len(failures) / len(self.cohort) if self.cohort else None

    def good(self) -> int:
        return sum(r["outcome"] == "ok" and all(self._keeps(r, m) for m in self.bounds) for r in self.cohort)

    def _keeps(self, r: Row, metric: str) -> bool:
        entry = getattr(self, metric)(r)
        if entry is None:
            return True
        return entry[0] == "seen" and entry[1] <= self.bounds[metric]

    def goodput(self) -> float:
        return float(self.good() / self.seconds())

    def attainment(self) -> float | None:
        judged = [r for r in self.cohort if r["outcome"] != "cancelled"]
        return self.good() / len(judged) if judged else None


def percentile(entries: list[Entry], name: str) -> tuple[str, Fraction] | None:
    """("is", value) or ("above", x); None below the n it needs."""
    if len(entries) < NEEDED[name]:
        return None
    return at_share(entries, SHARES[name])


def at_share(entries: list[Entry], share: Fraction) -> tuple[str, Fraction]:
    """The smallest value with at least `share` of all entries at or below it; failures are never below anything."""
    seen = sorted(value for kind, value in entries if kind == "seen")
    for value in seen:
        if sum(other <= value for other in seen) >= share * len(entries):
            return "is", value
    everything = sorted(value for _, value in entries)
    for value in everything:
        if sum(other <= value for other in everything) >= share * len(entries):
            return "above", max([value, *seen[-1:]])
    raise AssertionError("no entries")


def mean(entries: list[Entry]) -> tuple[str, float]:
    """The mean; above it when a limit stands for a value."""
    kind = "above" if any(kind == "beyond" for kind, _ in entries) else "is"
    return kind, float(sum(value for _, value in entries) / len(entries))
