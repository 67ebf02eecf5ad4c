"""The part of a Triton model that all models share: requests in, rows to the engine, responses out, cancels on.

Runs in Triton's Python-backend stub, the only place where `triton_python_backend_utils` exists. One `Exchange` per
Triton request; its rows are separate requests to the engine. A response is sent from the channel's reader thread. Where
the flag FINAL goes and how an error is worded differs by model (`conventions.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Set
from typing import Any, Protocol

import numpy as np
import triton_python_backend_utils as pb_utils
from channel import EngineChannel, EngineGone
from conventions import Conventions
from generation import CANCELLED, GenerationRequest
from replies import Outputs
from tensors import RefusedRequest, Tensors
from wire import Message


class Steps(Protocol):
    """Collects the steps of one row."""

    def after(self, step: Message) -> Outputs | None:
        """The outputs to send after this step; None when nothing is to be sent yet."""


# What a model must supply: the rows of a request (tensors, arrival), and what is sent back for each of them
# (tensors, row, requested outputs, batch index or None for a single row, the row's request).
Parse = Callable[[Tensors, int], list[GenerationRequest]]
MakeReply = Callable[[Tensors, int, Set[str], "int | None", GenerationRequest], Steps]


class Exchange:
    """One Triton request: its sender and its rows that have not ended."""

    def __init__(self, request: Any, conventions: Conventions) -> None:
        self._conventions = conventions
        self.request_id = str(request.request_id())
        self.numbers: list[int] = []  # of the rows, at the engine
        self.cancelled_by_client = False
        self._sender = request.get_response_sender()
        self._open_rows = 1
        self._lock = threading.Lock()

    @property
    def is_over(self) -> bool:
        return self._open_rows == 0

    def expect(self, rows: int) -> None:
        self._open_rows = rows

    def poll_cancelled(self) -> bool:
        """True once, when the client has cancelled."""
        with self._lock:  # asking after or beside the FINAL response makes tritonserver crash (signal 11)
            if self.is_over or self.cancelled_by_client:
                return False
            self.cancelled_by_client = bool(self._sender.is_cancelled())
            return self.cancelled_by_client

    def send(self, outputs: Outputs, *, ends_row: bool) -> None:
        self._deliver(pb_utils.InferenceResponse(_tensors(outputs)), ends_row)

    def send_error(self, text: str, code: int | None = None) -> None:
        """An error ends the row it belongs to."""
        worded = self._conventions.word_error(text)
        is_coded = code is not None and self._conventions.errors_have_codes
        error = pb_utils.TritonError(worded, code) if is_coded else pb_utils.TritonError(worded)
        self._deliver(pb_utils.InferenceResponse(_tensors(self._conventions.beside_error), error=error), True)

    def send_plain_error(self, text: str) -> None:
        """An error as it stands, for a request that never was one to the engine."""
        self._deliver(pb_utils.InferenceResponse(error=pb_utils.TritonError(text)), True)

    def send_cancelled(self) -> None:
        """Ends the row with the error that says that the client wanted it so."""
        error = pb_utils.TritonError("Request cancelled by client", pb_utils.TritonError.CANCELLED)
        self._deliver(pb_utils.InferenceResponse(error=error), True)

    def end_with_error(self, text: str, code: int | None = None) -> None:
        """End all rows that are still open."""
        while not self.is_over:
            self.send_error(text, code)

    def _deliver(self, response: Any, ends_row: bool) -> None:
        with self._lock:
            if self.is_over:
                return
            self._open_rows -= ends_row
            final = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if self.is_over else 0
            if final and self._conventions.final_alone:
                self._sender.send(response)
                self._sender.send(flags=final)
            else:
                self._sender.send(response, flags=final)


class RowReceiver:
    """Takes the engine's answers for one row of an exchange."""

    def __init__(self, exchange: Exchange, reply: Steps) -> None:
        self._exchange, self._reply = exchange, reply

    def advance(self, row: Message) -> None:
        if "error" in row:
            self._exchange.send_error(row["error"])
        elif row["finish"] == CANCELLED and self._exchange.cancelled_by_client:
            self._exchange.send_cancelled()
        else:
            outputs = self._reply.after(row)
            if outputs is not None:
                self._exchange.send(outputs, ends_row=row["finish"] is not None)

    def fail(self, message: str) -> None:
        self._exchange.send_error(message)


class Frontend:
    """Live exchanges of one model and the thread that looks for cancelled ones."""

    def __init__(
        self,
        channel: EngineChannel,
        parse: Parse,
        reply: MakeReply,
        conventions: Conventions,
        cancellation_check_period_ms: int,
        required_outputs: tuple[str, ...] = (),
    ) -> None:
        self._channel, self._parse, self._reply, self._conventions = channel, parse, reply, conventions
        self._required_outputs = required_outputs
        self._period_s = cancellation_check_period_ms / 1000
        self._live: set[Exchange] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._watch_cancels, name="watch-cancels", daemon=True)
        self._watch.start()

    def exchange(self, request: Any) -> Exchange:
        """The conversation of a request that this model answers itself."""
        return Exchange(request, self._conventions)

    def accept(self, request: Any, tensors: Tensors, arrival_ns: int) -> None:
        """Hand one Triton request to the engine; whatever is wrong with it is answered here."""
        exchange = self.exchange(request)
        try:
            self._submit(exchange, request, tensors, arrival_ns)
        except RefusedRequest as problem:
            exchange.send_error(str(problem), pb_utils.TritonError.INVALID_ARG)
        except EngineGone as gone:
            exchange.end_with_error(str(gone), pb_utils.TritonError.UNAVAILABLE)
        except Exception as problem:  # a request must never be left without an answer
            exchange.end_with_error(
                f"An error occurred when processing the input values for request id {exchange.request_id}, "
                f"the error was '{type(problem).__name__}: {problem}'"
            )

    def _submit(self, exchange: Exchange, request: Any, tensors: Tensors, arrival_ns: int) -> None:
        outputs = set(request.requested_output_names())
        for name in self._required_outputs:
            if name not in outputs:
                raise RefusedRequest(f"{name} tensor must be present in list of output tensors")
        rows = self._parse(tensors, arrival_ns)
        exchange.expect(len(rows))
        for index, generation in enumerate(rows):
            batch_index = index if len(rows) > 1 else None
            receiver = RowReceiver(exchange, self._reply(tensors, index, outputs, batch_index, generation))
            exchange.numbers.append(self._channel.submit(generation, receiver))
        with self._lock:  # only now: the watch must know all numbers when it sees the cancel, which it does once
            self._live.add(exchange)

    def cancel_by_request_id(self, request_id: str) -> None:
        """Stop every live request with this id; they end with what they have."""
        for exchange in self._alive():
            if exchange.request_id == request_id:
                self._cancel(exchange)

    def close(self) -> None:
        self._closing.set()
        self._watch.join(timeout=2)

    def _cancel(self, exchange: Exchange) -> None:
        for number in exchange.numbers:
            self._channel.cancel(number)

    def _alive(self) -> list[Exchange]:
        with self._lock:
            self._live = {exchange for exchange in self._live if not exchange.is_over}
            return list(self._live)

    def _watch_cancels(self) -> None:
        while not self._closing.wait(self._period_s):
            for exchange in self._alive():
                if exchange.poll_cancelled():
                    self._cancel(exchange)


def _tensors(outputs: Mapping[str, np.ndarray]) -> list[Any]:
    return [pb_utils.Tensor(name, array) for name, array in outputs.items()]


def named_inputs(request: Any) -> dict[str, np.ndarray]:
    return {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}


def now_ns() -> int:
    return time.monotonic_ns()


def parameters_of(model_config: dict[str, Any]) -> dict[str, str]:
    """The `parameters` of config.pbtxt as a plain mapping."""
    return {name: value["string_value"] for name, value in model_config.get("parameters", {}).items()}
