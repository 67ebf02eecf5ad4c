"""The engine process's loop on real sockets, with an engine that counts: credit, cancel, faults, deaths."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from channel import EngineChannel, EngineGone, connect, failure_note
from engine_interface import EngineStatistics, Produced
from engine_process import EngineProcess
from fault import Fault
from generation import GenerationRequest
from peers import CREDIT_PATIENCE_S, Peers
from test_server_admission import settings
from wire import Frames, encode


class CountingEngine:
    """One token per request and step: 100, 101, 102, ..."""

    block_tokens, vocabulary_size = 32, 4096

    def __init__(self) -> None:
        self.running: dict[int, int] = {}
        self.steps = 0

    def add(self, key: int, request: GenerationRequest) -> None:
        if request.input_ids[0] == 13:
            raise ValueError("the library does not like 13")
        self.running[key] = request.max_new_tokens

    def step(self) -> list[Produced]:
        self.steps += 1
        self.running = {key: left - 1 for key, left in self.running.items()}
        produced = [Produced(key, [99 + self.steps], ended=left == 0) for key, left in self.running.items()]
        self.running = {key: left for key, left in self.running.items() if left}
        return produced

    def cancel(self, key: int) -> None:
        self.running.pop(key, None)

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(len(self.running), len(self.running))


class Process:
    """The loop in a thread, ending as main() does."""

    def __init__(self, path: str, fault: Fault, **changed: str) -> None:
        self.engine, self.peers, self.path = CountingEngine(), Peers(path, owner="tensorrt_llm"), path
        self._loop = EngineProcess(self.engine, settings(max_batch_size="2", **changed), self.peers, fault)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run()
        except Exception as problem:
            self.peers.farewell(f"{type(problem).__name__}: {problem}")
        finally:
            self.peers.close()

    def join(self) -> None:
        self._thread.join(timeout=5)
        assert not self._thread.is_alive()


class Receiver:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.failure: str | None = None
        self.ended = threading.Event()

    def advance(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if row["finish"]:
            self.ended.set()

    def fail(self, message: str) -> None:
        self.failure = message
        self.ended.set()


def a_request(count: int, first: int = 5) -> GenerationRequest:
    return GenerationRequest([first], count, time.monotonic_ns())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[Process, EngineChannel]]]:
    made: list[tuple[Process, EngineChannel]] = []

    def begin(fault: Fault | None = None, **changed: str) -> tuple[Process, EngineChannel]:
        process = Process(str(tmp_path / "s"), fault or Fault(None), **changed)
        made.append((process, EngineChannel(connect(process.path, 5), "tensorrt_llm")))
        return made[-1]

    yield begin
    for process, channel in made:
        channel.close(shutdown=True)
        process.join()


Start = Callable[..., tuple[Process, EngineChannel]]


def test_requests_run_to_their_end_and_beyond_the_batch_they_wait(start: Start) -> None:
    _, channel = start()
    receivers = [Receiver() for _ in range(5)]
    for receiver in receivers:
        channel.submit(a_request(4), receiver)
    assert all(receiver.ended.wait(5) for receiver in receivers)
    assert [len(receiver.rows) for receiver in receivers] == [4] * 5
    assert receivers[4].rows[0]["instants"][0] < receivers[4].rows[0]["instants"][1]


def test_a_refused_request_fails_alone(start: Start) -> None:
    _, channel = start()
    good, too_long, disliked = Receiver(), Receiver(), Receiver()
    channel.submit(GenerationRequest([5] * 2000, 4, 0), too_long)
    channel.submit(a_request(4, first=13), disliked)
    channel.submit(a_request(4), good)
    assert all(receiver.ended.wait(5) for receiver in (good, too_long, disliked))
    assert "Prompt length (2000) exceeds maximum input length (1023)" in str(too_long.failure)
    assert "does not like 13" in str(disliked.failure)
    assert len(good.rows) == 4


def test_a_burst_beyond_batch_and_queue_is_rejected_and_no_request_before_it(start: Start) -> None:
    _, channel = start(max_queue_size="3")
    receivers = [Receiver() for _ in range(7)]
    for receiver in receivers:
        channel.submit(a_request(1000), receiver)
    assert all(receiver.ended.wait(5) for receiver in receivers[5:])
    assert all("the queue is full: max_queue_size (3)" in str(receiver.failure) for receiver in receivers[5:])
    assert [receiver.failure for receiver in receivers[:5]] == [None] * 5


class RawPeer:
    """A model that speaks the wire by hand, and pays credit only when told."""

    def __init__(self, path: str) -> None:
        self.connection, self.frames = socket.socket(socket.AF_UNIX), Frames()
        self.connection.connect(path)
        self.waiting: list[dict[str, Any]] = []
        self.send({"type": "hello", "model": "ensemble"})
        assert self.next(5)["type"] == "ready"

    def send(self, message: dict[str, Any]) -> None:
        self.connection.sendall(encode(message))

    def next(self, wait_s: float) -> dict[str, Any]:
        """Raises TimeoutError."""
        self.connection.settimeout(wait_s)
        while not self.waiting:
            self.waiting += self.frames.feed(self.connection.recv(65536))
        return self.waiting.pop(0)


def test_the_next_step_waits_for_the_credit(start: Start) -> None:
    process, _ = start()
    peer = RawPeer(process.path)
    peer.send({"type": "add", "id": 0, "request": a_request(50).as_message()})
    for expected in (1, 2, 3):
        assert peer.next(5)["step"] == expected
        with pytest.raises(TimeoutError):
            peer.next(CREDIT_PATIENCE_S / 4)
        assert process.engine.steps == expected
        peer.send({"type": "credit", "step": expected})
    peer.connection.close()


def test_a_model_that_never_pays_cannot_hold_the_others_for_ever(start: Start) -> None:
    process, channel = start()
    peer, other = RawPeer(process.path), Receiver()
    peer.send({"type": "add", "id": 0, "request": a_request(500).as_message()})
    peer.next(5)
    begun_s = time.monotonic()
    channel.submit(a_request(20), other)
    assert other.ended.wait(10)
    assert time.monotonic() - begun_s < 20 * CREDIT_PATIENCE_S / 2  # far less than the patience for every step
    peer.connection.close()


def test_a_model_that_hangs_up_takes_its_requests_with_it(start: Start) -> None:
    process, channel = start()
    peer = RawPeer(process.path)
    for number in range(2):
        peer.send({"type": "add", "id": number, "request": a_request(500).as_message()})
    peer.next(5)
    peer.connection.close()
    after = Receiver()
    channel.submit(a_request(3), after)
    assert after.ended.wait(5)
    assert len(after.rows) == 3


def test_a_cancel_ends_a_running_and_a_waiting_request(start: Start) -> None:
    process, channel = start()
    receivers = [Receiver() for _ in range(3)]
    numbers = [channel.submit(a_request(1000), receiver) for receiver in receivers]
    for number, receiver in reversed(list(zip(numbers, receivers, strict=True))):
        channel.cancel(number)
        assert receiver.ended.wait(5)
        assert receiver.rows[-1]["finish"] == "cancelled"
    assert process.engine.running == {}
    channel.cancel(numbers[0])  # again: nothing happens


def test_an_exception_in_the_loop_reaches_everyone_with_its_cause(start: Start) -> None:
    _, channel = start(Fault(3))
    waiting = Receiver()
    channel.submit(a_request(100), waiting)
    assert waiting.ended.wait(5)
    assert len(waiting.rows) == 3
    assert waiting.failure == "The engine process has ended: FaultOnPurpose: fault injected by ENGINE_FAULT"
    with pytest.raises(EngineGone, match="fault injected"):
        channel.submit(a_request(1), Receiver())


def test_a_lost_connection_is_explained_if_somebody_can(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.sendall(encode({"type": "ready"}))
    channel = EngineChannel(ours, "ensemble", explain=lambda: "killed by SIGKILL")
    receiver = Receiver()
    channel.submit(a_request(5), receiver)
    theirs.close()
    assert receiver.ended.wait(5)
    assert receiver.failure == "The engine process has ended: killed by SIGKILL"
    channel.close(shutdown=False)


def test_waiting_for_a_process_that_failed_ends_at_once_with_its_note(tmp_path: Path) -> None:
    path = str(tmp_path / "nobody")
    with pytest.raises(EngineGone, match="no engine process"):
        connect(path, 0.05)
    failure_note(path).write_text("RefusedSetting: threads is not set")
    with pytest.raises(EngineGone, match="threads is not set"):
        connect(path, 60)


def test_the_only_fault_is_the_documented_one() -> None:
    assert Fault.from_environment({}).before_step() is None
    for wrong in ("raise_after", "raise_after:x", "explode:1"):
        with pytest.raises(ValueError, match="the only fault is raise_after:N"):
            Fault.from_environment({"ENGINE_FAULT": wrong})
