"""From the raw messages of a finished ModelStreamInfer call to an `Answer`; runs after the request is over.

Responses carry new text or all text so far (`deltas`). Token counts come from `num_output_tokens` (per response while
streaming), from the ids themselves, or are assumed: one for any new text. Of an answer that was not streamed the counts
are kept and no chunk: nobody saw when its tokens were made.

Within one request nearly every response differs from the one before only in its raw contents: the layout is parsed with
protobuf once and reused as long as the bytes before the raw contents are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tritonclient.grpc import service_pb2

from harness.protocols.answer import Answer
from harness.protocols.chunks import SERVER_INSTANTS, Chunks
from harness.protocols.failures import is_rejection
from harness.protocols.grpc_frames import STATUS_UNAVAILABLE, Call
from harness.protocols.protobuf_wire import read_varint
from harness.protocols.triton_grpc import prompt_of

_ERROR_TAG, _RESPONSE_TAG, _RAW_TAG = 0x0A, 0x12, 0x32
_STATUS_DEADLINE, _STATUS_EXHAUSTED = 4, 8


@dataclass(frozen=True)
class _Layout:
    """What the bytes before the raw contents say."""

    head: bytes
    names: tuple[str, ...]
    strings: frozenset[str]  # outputs of datatype BYTES
    final: bool


def decode(call: Call) -> Answer:
    """The answer of a call that has ended; its outcome follows gRPC status, Triton's errors and the final flag."""
    reader = _Reader()
    for stamp, message in zip(call.stamps, call.messages, strict=True):
        reader.take(stamp, message)
    outcome, error = _outcome(call, reader)
    done_ns = reader.final_ns if outcome == "ok" and reader.final_ns is not None else call.ended_ns
    return reader.chunks.answer(outcome, error, done_ns, streamed=call.streamed, prompt=lambda: prompt_of(call.request))


def until_tokens(tokens: int) -> Callable[[int, bytes], bool]:
    """A watch for `Call`: True at the message that brings the `tokens`-th output token, unless it is the last one.

    It never raises: what it cannot read, `decode` will report.
    """
    reader = _Reader()

    def reached(stamp: int, message: bytes) -> bool:
        try:
            reader.take(stamp, message)
        except Exception:
            return False
        return reader.final_ns is None and reader.chunks.tokens_so_far >= tokens

    return reached


class _Reader:
    """Collects the chunks of one answer."""

    def __init__(self) -> None:
        self.chunks = Chunks()
        self.error: str | None = None
        self.final_ns: int | None = None
        self._layout: _Layout | None = None

    def take(self, stamp: int, message: bytes) -> None:
        """One ModelStreamInferResponse, received at `stamp`."""
        if not message or message[0] == _ERROR_TAG:
            self._take_error(message)
            return
        start = read_varint(message, 1)[1]
        layout = self._layout
        if layout is None or not message.startswith(layout.head, start):
            layout = self._layout = self._parse(message, start)
        raw = _raw_contents(message, start + len(layout.head), len(layout.names))
        if layout.final:
            self.final_ns = stamp
        if layout.names:
            self._take_outputs(stamp, dict(zip(layout.names, raw, strict=True)), layout.strings)

    def _take_error(self, message: bytes) -> None:
        response = service_pb2.ModelStreamInferResponse.FromString(message)
        self.error = response.error_message or "empty response"

    def _parse(self, message: bytes, start: int) -> _Layout:
        """Parse one response with protobuf; what lies before its raw contents is the layout."""
        response = service_pb2.ModelInferResponse.FromString(message[start:])
        names = tuple(output.name for output in response.outputs)
        contents = response.raw_output_contents
        if len(contents) != len(names):
            raise ValueError(f"{len(names)} outputs with {len(contents)} raw contents")
        tail = sum(len(content) + 1 + _varint_size(len(content)) for content in contents)
        final = response.parameters["triton_final_response"].bool_param if response.parameters else False
        strings = frozenset(output.name for output in response.outputs if output.datatype == "BYTES")
        return _Layout(message[start : len(message) - tail], names, strings, final)

    def _take_outputs(self, stamp: int, outputs: dict[str, bytes], strings: frozenset[str]) -> None:
        is_ids = "output_ids" in outputs
        content = outputs["output_ids"] if is_ids else outputs.get("text_output", b"")[4:]
        by_server = "num_output_tokens" in outputs
        count = "num_output_tokens" if by_server else "sequence_length" if "sequence_length" in outputs else None
        tokens = None if count is None else _integer(outputs[count], count in strings)
        self.chunks.take(stamp, content, tokens, by_server=by_server, ids=is_ids)
        if "num_input_tokens" in outputs:
            self.chunks.input_tokens = _integer(outputs["num_input_tokens"], "num_input_tokens" in strings)
        if "arrival_time_ns" in outputs:
            self.chunks.take_times(
                {name: _integer(outputs[name], name in strings) for name in SERVER_INSTANTS if name in outputs}
            )


def _raw_contents(message: bytes, position: int, count: int) -> Sequence[bytes]:
    """The raw contents (field 6 of ModelInferResponse) behind the layout."""
    out = []
    for _ in range(count):
        if message[position] != _RAW_TAG:
            raise ValueError("raw contents are not at the end of the response")
        size = message[position + 1]
        position += 2
        if size > 127:
            size, position = read_varint(message, position - 1)
        out.append(message[position : position + size])
        position += size
    return out


def _integer(raw: bytes, is_string: bool) -> int:
    """The first element of an integer tensor, little-endian, of 4 or 8 bytes; or of a tensor of strings.

    The LLM-API model sends its perf values as strings although its configuration declares integers.
    """
    if is_string:
        return int(float(raw[4 : 4 + int.from_bytes(raw[:4], "little")]))
    return int.from_bytes(raw[:8] if len(raw) == 8 else raw[:4], "little", signed=True)


def _varint_size(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)


def _outcome(call: Call, reader: _Reader) -> tuple[str, str | None]:
    if reader.error is not None:
        return ("rejected" if is_rejection(reader.error) else "server_error"), reader.error
    if call.status == 0:
        if reader.final_ns is None:
            return "bad_stream", "the stream ended without a final response"
        return "ok", None
    message = f"gRPC status {call.status}: {call.status_message}"
    if call.lost and not reader.chunks.stamps:
        return "connect_error", message
    if reader.chunks.stamps or call.reset_code is not None:
        return "bad_stream", message
    if call.status == _STATUS_DEADLINE:
        return "timeout", message
    refused = call.http_status == "429" or call.status in (_STATUS_EXHAUSTED, STATUS_UNAVAILABLE)
    return ("rejected" if refused or is_rejection(call.status_message) else "server_error"), message
