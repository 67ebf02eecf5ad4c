"""The engine process: one engine, one queue, one KV cache, shared by all models over a Unix socket.

One thread, one loop: read the sockets (arrivals, cancels, credits) → admit → step → send tokens → wait for the
credit. A step never hides an arrival for longer than itself, and tokens leave as they are made because the next step
waits until the models have handed on those of the last. README.md has the messages, the credit, and what happens when
something dies.

Run by the `tensorrt_llm` model: `engine_process.py --socket PATH --engine-dir DIR --settings JSON --parent PID`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lifeline
from admission import Admission, clamped, objection
from channel import failure_note
from engine_interface import Engine, Produced
from fault import Fault
from generation import CANCELLED, GenerationRequest, Progress
from peers import Peer, Peers
from prefix_estimate import PrefixEstimate
from settings import TORCH, Settings, blocks
from slowdown import Slowdown
from statistics_report import StatisticsReport
from wire import Message

IDLE_WAIT_S = 1.0


@dataclass
class Job:
    """A request of a peer, waiting or running."""

    peer: Peer
    client_id: int
    progress: Progress
    reused_blocks: int = 0


class EngineProcess:
    """The loop. `engine` does the arithmetic, `peers` the sockets, `admission` decides who runs."""

    def __init__(self, engine: Engine, settings: Settings, peers: Peers, fault: Fault) -> None:
        self._engine, self._settings, self._peers, self._fault = engine, settings, peers, fault
        self._admission: Admission[int] = Admission(settings, engine.block_tokens)
        self._jobs: dict[int, Job] = {}  # waiting and running, by our serial number
        self._running: dict[int, Job] = {}
        self._serial = 0
        self._report = StatisticsReport(settings, engine.block_tokens)
        self._slowdown = Slowdown(settings.injected_slowdown_ratio)
        self._prefixes = PrefixEstimate(
            enabled=settings.enable_kv_cache_reuse,
            block_tokens=engine.block_tokens,
            total_blocks=settings.max_tokens_in_paged_kv_cache // engine.block_tokens,
        )

    def run(self) -> None:
        """Until the owner's connection ends or it says shutdown."""
        while not self._peers.owner_left:
            for peer, message in self._peers.receive(self._wait_s()):
                self._obey(peer, message)
            for peer in self._peers.take_lost():
                self._forget(peer)
            self._admit()
            if self._running and self._peers.credit_wait_s() == 0:
                self._step()
            self._report_when_due()

    def _wait_s(self) -> float:
        if self._running:
            return self._peers.credit_wait_s()
        return 0.0 if len(self._admission) else IDLE_WAIT_S

    def _obey(self, peer: Peer, message: Message) -> None:
        kind = message["type"]
        if kind == "hello":
            peer.name = message["model"]
            peer.send({"type": "ready", **self._facts()})
            self._report.repeat()
        elif kind == "add":
            self._accept(peer, message["id"], GenerationRequest.from_message(message["request"]))
        elif kind == "cancel":
            self._cancel(peer, message["id"])
        elif kind == "credit":
            peer.credit(message["step"])

    def _facts(self) -> Message:
        """What a model must know of the engine."""
        return {
            "vocabulary_size": self._engine.vocabulary_size,
            "block_tokens": self._engine.block_tokens,
            "max_seq_len": self._settings.max_seq_len,
        }

    def _accept(self, peer: Peer, client_id: int, request: GenerationRequest) -> None:
        self._serial += 1
        problem = objection(request, self._settings, self._engine.vocabulary_size) or self._queue_full()
        if problem:
            peer.send({"type": "refused", "id": client_id, "message": _executor_error(self._serial, problem)})
            return
        job = Job(peer, client_id, Progress(clamped(request, self._settings)))
        self._jobs[self._serial] = job
        self._admission.enqueue(self._serial, job.progress)

    def _queue_full(self) -> str | None:
        """Why the queue takes no further request, in our words; None while it does."""
        if self._admission.is_full:
            self._admit()  # who can start now does not wait: a burst on an idle engine is no full queue
        if not self._admission.is_full:
            return None
        return f"the queue is full: max_queue_size ({self._settings.max_queue_size}) requests are waiting"

    def _cancel(self, peer: Peer, client_id: int) -> None:
        for serial, job in self._jobs.items():
            if job.peer is peer and job.client_id == client_id:
                self._drop(serial)
                job.progress.finish = CANCELLED
                peer.send({"type": "step", "step": None, "rows": [self._row(job, [])]})
                return

    def _drop(self, serial: int) -> None:
        del self._jobs[serial]
        if self._running.pop(serial, None) is None:
            self._admission.withdraw(serial)
        else:
            self._engine.cancel(serial)
        self._report.ended(serial)

    def _forget(self, peer: Peer) -> None:
        for serial in [serial for serial, job in self._jobs.items() if job.peer is peer]:
            self._drop(serial)

    def _admit(self) -> None:
        for serial, progress in self._admission.admit(job.progress for job in self._running.values()):
            job = self._jobs[serial]
            try:
                self._engine.add(serial, progress.request)
            except Exception as problem:  # the library refuses a parameter: this request's fault, not the engine's
                del self._jobs[serial]
                text = _executor_error(serial, str(problem))
                job.peer.send({"type": "refused", "id": job.client_id, "message": text})
                continue
            self._running[serial] = job
            job.reused_blocks = self._prefixes.reused_blocks(progress.request.input_ids)
            self._report.started(serial, len(progress.request.input_ids), job.reused_blocks)

    def _step(self) -> None:
        self._fault.before_step()
        begun_ns = time.monotonic_ns()
        produced = self._engine.step()
        self._slowdown.stretch(begun_ns)
        now_ns = time.monotonic_ns()
        for serial in self._report.stepped(produced, self._engine.statistics()):
            progress = self._running[serial].progress
            progress.first_scheduled_ns = progress.first_scheduled_ns or begun_ns
        rows: dict[Peer, list[Message]] = {}
        for outcome in produced:
            job = self._running[outcome.key]
            rows.setdefault(job.peer, []).append(self._outcome_row(outcome, job, now_ns))
        for peer, own in rows.items():
            peer.send_step(own)
        if not self._running:
            self._slowdown.rest()

    def _outcome_row(self, outcome: Produced, job: Job, now_ns: int) -> Message:
        """What the client of this request gets; ends the request if this was its last step."""
        shown = job.progress.take(outcome.tokens, ended=outcome.ended, now_ns=now_ns)
        row = self._row(job, shown)
        if outcome.error is not None:
            row["error"] = _executor_error(outcome.key, outcome.error)
        if outcome.ended or job.progress.finish is not None:
            if not outcome.ended:
                self._engine.cancel(outcome.key)  # a stop word is ours, the library would go on
            del self._jobs[outcome.key], self._running[outcome.key]
            self._report.ended(outcome.key)
            self._prefixes.remember(job.progress.request.input_ids + job.progress.tokens)
        return row

    def _row(self, job: Job, tokens: list[int]) -> Message:
        progress = job.progress
        return {
            "id": job.client_id,
            "tokens": tokens,
            "finish": progress.finish,
            "instants": progress.instants(),
            "blocks": blocks(progress.length_tokens, self._engine.block_tokens),
            "reused_blocks": job.reused_blocks,
        }

    def _report_when_due(self) -> None:
        running = [job.progress for job in self._running.values()]
        message = self._report.due(running, waiting=len(self._admission), now_ns=time.monotonic_ns())
        if message is not None:
            self._peers.tell_owner(message)


def _engine_type(library: str) -> Any:
    """The engine's class. Imported here: each library is heavy, and only one of them is installed."""
    if library == TORCH:
        from torch_engine import TorchEngine

        return TorchEngine
    from openvino_engine import OpenVinoEngine

    return OpenVinoEngine


def _executor_error(serial: int, problem: str) -> str:
    where = f"Executor failed process requestId {serial} due to the following error"
    return f"{where}: Encountered an error in executor: {problem}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The engine process; started by the tensorrt_llm model.")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--engine-dir", required=True, type=Path)
    parser.add_argument("--settings", required=True, help="JSON object: parameters of the tensorrt_llm model")
    parser.add_argument("--parent", required=True, type=int, help="process whose death ends this one")
    return parser.parse_args()


def main() -> int:
    options = _options()
    lifeline.die_with_parent(options.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends tritonserver, which ends us in order
    peers = Peers(options.socket, owner="tensorrt_llm")
    try:
        settings = Settings.parse(json.loads(options.settings))
        engine_type = _engine_type(settings.library)
        settings.check_blocks(settings.tokens_per_block)
        engine = engine_type(options.engine_dir, settings)
        EngineProcess(engine, settings, peers, Fault.from_environment(os.environ)).run()
    except Exception as problem:
        cause = f"{type(problem).__name__}: {problem}"
        print(f"engine process: {cause}", file=sys.stderr, flush=True)
        failure_note(options.socket).write_text(cause)
        peers.farewell(cause)
        return 1
    finally:
        peers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
