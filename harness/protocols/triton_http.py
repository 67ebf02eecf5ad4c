"""Triton's generate extension over HTTP/1.1: `generate_stream` (SSE without an end mark) and `generate`.

Keys of the JSON body are the model's inputs, keys of the answer its outputs (`docs/protocol/extension_generate.md` of
Triton). The path does not carry the request's id: it travels as X-Request-Id for whoever logs it. Failures after the
first event come as `{"error": …}` events with status 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.protocols.answer import Answer
from harness.protocols.chunks import SERVER_INSTANTS, Chunks
from harness.protocols.contract import ModelContract, check
from harness.protocols.encoder import Header, RequestOptions
from harness.protocols.http_answer import Watch, contents_of, error_in, outcome_of, parsed, parsed_all, until
from harness.protocols.http_frames import HttpCall
from harness.protocols.http_request import RequestHead, body_of, json_fields, json_object


class TritonHttpEncoder:
    """Builds requests for one model."""

    def __init__(self, contract: ModelContract, options: RequestOptions) -> None:
        """Raises UsageError when the model is of no kind that is known."""
        check(contract)
        self._lengths = contract.length_inputs
        self._constants = json_fields(contract.constants(streamed=options.streamed))
        call = "generate_stream" if options.streamed else "generate"
        self._head = RequestHead(options, f"/v2/models/{contract.model}/{call}")

    def text(self, request_id: str, text: bytes, output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        """A request of a text model."""
        return self._request(request_id, {"text_input": text.decode()}, output_tokens, extra)

    def ids(self, request_id: str, ids: NDArray[np.int32], output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        """A request of the token-id model; `ids` has shape [input tokens]."""
        inputs = {"input_ids": ids.tolist(), "input_lengths": len(ids)}
        return self._request(request_id, inputs, output_tokens, extra)

    def _request(self, request_id: str, inputs: dict[str, Any], output_tokens: int, extra: Sequence[Header]) -> bytes:
        own = inputs | dict.fromkeys(self._lengths, output_tokens)
        return self._head.request(request_id, json_object(json_fields(own), self._constants), extra)


def decode(call: HttpCall) -> Answer:
    """The answer of a call that has ended."""
    reader = _Reader()
    if call.http_status == 200:
        contents = contents_of(call)
        told = [(stamp, content) for stamp, content in zip(call.stamps, contents, strict=True) if content]
        for (stamp, _), message in zip(told, parsed_all([content for _, content in told]), strict=True):
            reader.take_message(stamp, message)
    chunks = reader.chunks
    missing = None if chunks.stamps else "the stream ended without any response"
    outcome, why = outcome_of(call, started=bool(chunks.stamps), error=reader.error, end_missing=missing)
    return chunks.answer(outcome, why, call.ended_ns, streamed=call.streamed, prompt=lambda: _prompt(call.request))


def until_tokens(tokens: int) -> Watch:
    """A watch for `HttpCall`: True at the event that brings the `tokens`-th output token."""
    return until(_Reader(), tokens)


class _Reader:
    """Collects the chunks of one answer."""

    def __init__(self) -> None:
        self.chunks = Chunks()
        self.error: str | None = None
        self.finished = False  # this protocol has no end mark

    def take(self, stamp: int, content: bytes) -> None:
        """The data of one event, or a whole body, received at `stamp`."""
        if content:
            self.take_message(stamp, parsed(content))

    def take_message(self, stamp: int, message: dict[str, Any]) -> None:
        """The object in one event."""
        self.error = error_in(message) or self.error
        _take(self.chunks, stamp, message)


def _take(chunks: Chunks, stamp: int, message: dict[str, Any]) -> None:
    if "text_output" not in message and "output_ids" not in message:
        return
    is_ids = "output_ids" in message
    content = _raw_ids(message["output_ids"]) if is_ids else _text(message["text_output"]).encode()
    by_server = "num_output_tokens" in message
    count = "num_output_tokens" if by_server else "sequence_length" if "sequence_length" in message else None
    tokens = None if count is None else _integer(message[count])
    chunks.take(stamp, content, tokens, by_server=by_server, ids=is_ids)
    if "num_input_tokens" in message:
        chunks.input_tokens = _integer(message["num_input_tokens"])
    if "arrival_time_ns" in message:
        chunks.take_times({name: _integer(message[name]) for name in SERVER_INSTANTS if name in message})


def _first(value: Any) -> Any:
    """The value, or the first element of nested lists: a tensor of one element may come as either."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value


def _text(value: Any) -> str:
    first = _first(value)
    return first if isinstance(first, str) else ""


def _integer(value: Any) -> int:
    """Numbers, and numbers written as strings: the LLM-API model sends its perf values so."""
    return int(float(first)) if isinstance(first := _first(value), str) else int(first)


def _raw_ids(value: Any) -> bytes:
    """The first sequence of token ids, as the bytes of int32."""
    while isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    return np.asarray(value if isinstance(value, list) else [value], dtype="<i4").tobytes()


def _prompt(request: bytes) -> bytes:
    body = body_of(request)
    return _raw_ids(body["input_ids"]) if "input_ids" in body else str(body["text_input"]).encode()
