"""What all connections of a truth server share: behaviour, counters, log, timers, and the short answers."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

from harness.truth import models, wire
from harness.truth.asked import Asked, find_model, read_name
from harness.truth.behaviour import Behaviour
from harness.truth.counting import TokenCounter
from harness.truth.grpc import GrpcError, Status
from harness.truth.schedule import Fate, Schedule, as_one_response, delayed, draw, service_ns, slowed
from harness.truth.sent_log import OpenRequest, Outcome, SentLog
from harness.truth.timers import Timers
from harness.units import from_seconds

PREFIX = "/inference.GRPCInferenceService/"


@dataclass
class _Tally:
    """What ModelStatistics tells of one model: requests and their summed duration."""

    succeeded: int = 0
    failed: int = 0
    succeeded_ns: int = 0
    failed_ns: int = 0


class Service:
    """Shared state. `shift_ns` is by how much stalls have moved all schedules so far."""

    def __init__(self, behaviour: Behaviour, counter: TokenCounter, log: SentLog) -> None:
        self.behaviour = behaviour
        self.counter = counter
        self.log = log
        self.timers = Timers()
        self.shift_ns = 0
        self.frozen_until_ns = 0
        self._tallies = {name: _Tally() for name in models.MODELS}
        self._numbers = itertools.count()
        self._stall_is_set = False
        self._first_arrival_ns: int | None = None
        self._free_ns = [0] * (behaviour.servers or 0)  # a heap: when each server of the queue is free

    def schedule(self, asked: Asked, complete_ns: int) -> Schedule:
        """The schedule of a request, complete at that instant: by its id, or by its number among those without one."""
        number = next(self._numbers)
        key = asked.request_id or f"#{number}"
        schedule = draw(self.behaviour, key, asked.output_tokens)
        if self._is_slow(complete_ns):
            schedule = slowed(schedule, self.behaviour.slow_ratio)
        if self._free_ns and schedule.fate is not Fate.REJECT:
            schedule = delayed(schedule, self._wait_ns(complete_ns, service_ns(self.behaviour, key)))
        return schedule if asked.is_streaming else as_one_response(schedule)

    def _is_slow(self, complete_ns: int) -> bool:
        """Whether a request that is complete at this instant belongs to the slow start."""
        if not self.behaviour.slow_until_s or self._first_arrival_ns is None:
            return False
        return complete_ns < self._first_arrival_ns + from_seconds(self.behaviour.slow_until_s)

    def _wait_ns(self, complete_ns: int, takes_ns: int) -> int:
        """How long a request that is complete now waits for a server, which it then takes."""
        begins_ns = max(complete_ns, heapq.heappop(self._free_ns))
        heapq.heappush(self._free_ns, begins_ns + takes_ns)
        return begins_ns - complete_ns

    def note_inference(self, arrival_ns: int) -> None:
        """An inference request came in; the first one starts the clock of the stall and of the slow start."""
        if self._first_arrival_ns is None:
            self._first_arrival_ns = arrival_ns
        if self.behaviour.stall_at_s is not None and not self._stall_is_set:
            self._stall_is_set = True
            self.timers.at(arrival_ns + from_seconds(self.behaviour.stall_at_s), self._stall)

    def close(self, record: OpenRequest, outcome: Outcome, ended_ns: int) -> None:
        """A request is over: into the log and the statistics."""
        request = record.close(outcome, ended_ns)
        self.log.add(request)
        tally = self._tallies.get(request.model)
        if tally is None:
            return
        duration_ns = ended_ns - request.request_complete_ns
        if outcome is Outcome.COMPLETED:
            tally.succeeded += 1
            tally.succeeded_ns += duration_ns
        else:
            tally.failed += 1
            tally.failed_ns += duration_ns

    def answer(self, path: str, message: bytes) -> bytes:
        """The response message of every call but the two of inference. Raises GrpcError."""
        method = path.removeprefix(PREFIX)
        if method in ("ServerLive", "ServerReady"):
            return wire.number(1, True)
        if method == "ServerMetadata":
            return models.server_metadata(statistics=self.behaviour.statistics)
        if method == "RepositoryIndex":
            return models.repository_index()
        if method == "ModelReady":
            return wire.number(1, read_name(message) in models.MODELS)
        if method == "ModelMetadata":
            return models.metadata(find_model(read_name(message)))
        if method == "ModelConfig" and self.behaviour.model_configuration:
            return models.configuration(find_model(read_name(message)), decoupled=self.behaviour.decoupled)
        if method == "ModelStatistics" and self.behaviour.statistics:
            return self._statistics(read_name(message))
        raise GrpcError(Status.UNIMPLEMENTED, f"the truth server does not offer {path}")

    def _statistics(self, name: str) -> bytes:
        """ModelStatisticsResponse for one model, or for all when the name is empty."""
        names = [find_model(name).name] if name else list(models.MODELS)
        return b"".join(wire.blob(1, _model_statistics(each, self._tallies[each])) for each in names)

    def _stall(self, now_ns: int) -> None:
        stall_ns = from_seconds(self.behaviour.stall_s)
        self.frozen_until_ns = now_ns + stall_ns
        self.shift_ns += stall_ns


def _model_statistics(name: str, tally: _Tally) -> bytes:
    success = wire.number(1, tally.succeeded) + wire.number(2, tally.succeeded_ns)
    failure = wire.number(1, tally.failed) + wire.number(2, tally.failed_ns)
    # Nothing queues here and nothing is converted: all the time of a request is its compute_infer.
    none = wire.number(1, tally.succeeded)
    durations = (success, failure, none, none, success, none)
    inference = b"".join(wire.blob(field, duration) for field, duration in enumerate(durations, start=1))
    counts = wire.number(4, tally.succeeded) + wire.number(5, tally.succeeded)
    return wire.text(1, name) + wire.text(2, models.VERSION) + counts + wire.blob(6, inference)
