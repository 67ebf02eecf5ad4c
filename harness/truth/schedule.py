"""What one request will get, and when: a pure function of the behaviour, the request's key and its token count.

Offsets are nanoseconds from the instant at which the request was complete.
"""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass
from random import Random

from harness.truth.behaviour import Behaviour
from harness.units import from_seconds


class Fate(enum.Enum):
    """How the server means to end a request."""

    COMPLETE = "complete"
    REJECT = "reject"
    ERROR = "error"
    CUT = "cut"


@dataclass(frozen=True)
class Schedule:
    """Chunks (offset, tokens) in order, then `fate` together with the last of them.

    With no chunk, `fate` is due at `end_offset_ns`.
    """

    offsets_ns: list[int]
    chunk_tokens: list[int]
    fate: Fate
    end_offset_ns: int


def draw(behaviour: Behaviour, key: str, output_tokens: int) -> Schedule:
    """The schedule of the request named `key` that asked for `output_tokens`; the same for the same arguments."""
    random = _stream(behaviour, key)
    fate = _fate(behaviour, random)
    if fate is Fate.REJECT:
        return Schedule([], [], fate, 0)
    tokens = max(output_tokens - behaviour.output_tokens_short_by, 0)
    if fate is Fate.ERROR:
        tokens = min(tokens, behaviour.error_after_tokens or 0)
    elif fate is Fate.CUT:
        tokens = min(tokens, behaviour.cut_after_tokens or 0)
    chunk_tokens = _chunks(tokens, behaviour.tokens_per_chunk)
    if fate is Fate.COMPLETE and not chunk_tokens:
        chunk_tokens = [0]  # a request always gets a response
    first_ns = from_seconds(behaviour.time_to_first_token_s)
    offsets_ns = _offsets(behaviour, chunk_tokens, first_ns, random)
    offsets_ns = _in_packets(offsets_ns, behaviour.chunks_per_packet)
    if behaviour.empty_first_chunk and chunk_tokens:
        chunk_tokens.insert(0, 0)
        offsets_ns.insert(0, offsets_ns[0] // 2)
    return Schedule(offsets_ns, chunk_tokens, fate, offsets_ns[-1] if offsets_ns else first_ns)


def service_ns(behaviour: Behaviour, key: str) -> int:
    """How long the request named `key` keeps a server of the queue; the same for the same arguments."""
    if behaviour.service_law == "fixed":
        return from_seconds(behaviour.service_s)
    return round(Random(f"{behaviour.seed}/service/{key}").expovariate(1e-9 / behaviour.service_s))


def delayed(schedule: Schedule, wait_ns: int) -> Schedule:
    """The same chunks, all of them later by the same wait."""
    offsets_ns = [offset + wait_ns for offset in schedule.offsets_ns]
    return Schedule(offsets_ns, schedule.chunk_tokens, schedule.fate, schedule.end_offset_ns + wait_ns)


def slowed(schedule: Schedule, ratio: float) -> Schedule:
    """The same chunks, every instant `ratio` times as late."""
    offsets_ns = [round(offset * ratio) for offset in schedule.offsets_ns]
    return Schedule(offsets_ns, schedule.chunk_tokens, schedule.fate, round(schedule.end_offset_ns * ratio))


def as_one_response(schedule: Schedule) -> Schedule:
    """The same tokens in a single chunk at the end, as a request that does not stream gets them."""
    if schedule.fate is not Fate.COMPLETE:
        return Schedule([], [], schedule.fate, schedule.end_offset_ns)
    return Schedule([schedule.end_offset_ns], [sum(schedule.chunk_tokens)], Fate.COMPLETE, schedule.end_offset_ns)


def _stream(behaviour: Behaviour, key: str) -> Random | None:
    """The request's own random stream; None where nothing will be drawn (seeding one costs more than a chunk)."""
    drawn = (
        behaviour.jitter_s or behaviour.reject_share or behaviour.effective_error_share or behaviour.effective_cut_share
    )
    return Random(f"{behaviour.seed}/{key}") if drawn else None


def _fate(behaviour: Behaviour, random: Random | None) -> Fate:
    """Three draws, always in the same order, so that one share does not move the requests another one picks."""
    if random is None:
        return Fate.COMPLETE
    reject, error, cut = random.random(), random.random(), random.random()
    if reject < behaviour.reject_share:
        return Fate.REJECT
    if error < behaviour.effective_error_share:
        return Fate.ERROR
    return Fate.CUT if cut < behaviour.effective_cut_share else Fate.COMPLETE


def _chunks(tokens: int, per_chunk: int) -> list[int]:
    full, rest = divmod(tokens, per_chunk)
    return [per_chunk] * full + ([rest] if rest else [])


def _in_packets(offsets_ns: list[int], per_packet: int | None) -> list[int]:
    """Chunks that share a packet are due together, when the last of them is."""
    if per_packet is None or per_packet == 1:
        return offsets_ns
    last = len(offsets_ns) - 1
    return [offsets_ns[min(last, index - index % per_packet + per_packet - 1)] for index in range(len(offsets_ns))]


def _offsets(behaviour: Behaviour, chunk_tokens: list[int], first_ns: int, random: Random | None) -> list[int]:
    gap_ns, jitter_ns = from_seconds(behaviour.inter_token_s), from_seconds(behaviour.jitter_s)
    if random is None or not jitter_ns:
        # A chunk of k tokens comes k gaps after the one before it, so the last one, if short, comes sooner.
        first_tokens = chunk_tokens[0] if chunk_tokens else 0
        return [first_ns + (sent - first_tokens) * gap_ns for sent in itertools.accumulate(chunk_tokens)]
    offsets = []
    due = first_ns
    for position, tokens in enumerate(chunk_tokens):
        gap = tokens * gap_ns if position else 0
        due += max(gap + round(random.uniform(-jitter_ns, jitter_ns)), 0 if position else -first_ns)
        offsets.append(due)
    return offsets
