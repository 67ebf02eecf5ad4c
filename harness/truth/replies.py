"""Inference responses as framed gRPC messages; for the hot path, what is constant is encoded once a request."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from harness.truth import wire
from harness.truth.asked import Asked
from harness.truth.behaviour import Behaviour
from harness.truth.counting import TokenCounter
from harness.truth.grpc import frame_message
from harness.truth.models import TENSORRT_LLM, TIMES, VERSION

FIRST_OUTPUT_ID = 1000
OUTPUT_ID_CYCLE = 1000


@dataclass(frozen=True)
class Chunk:
    """`tokens` output tokens behind `position` earlier ones. `times`: the four of TIMES, where asked for."""

    position: int
    tokens: int
    is_last: bool
    times: tuple[int, int, int, int] | None = None


class Replies:
    """Encodes the responses of one request."""

    def __init__(self, asked: Asked, counter: TokenCounter, behaviour: Behaviour) -> None:
        self._asked = asked
        self._counter = counter
        self._claimed_off_by = behaviour.claimed_output_tokens_off_by
        self._claimed_input = asked.input_tokens + behaviour.claimed_input_tokens_off_by
        self._final_flag = behaviour.final_flag
        self._cumulative = behaviour.cumulative_text
        self._head = wire.text(1, asked.model.name) + wire.text(2, VERSION) + wire.text(3, asked.request_id)
        self._parts: dict[int, tuple[bytes, bytes]] = {}
        # TensorRT-LLM repeats the prompt in the response only when it does not stream.
        echoed = "" if asked.is_streaming or asked.excludes_input else asked.prompt
        self._echoed_text = echoed if isinstance(echoed, str) else ""
        self._echoed_ids = echoed if isinstance(echoed, tuple) else ()
        self._echoed_tokens = asked.input_tokens if echoed else 0

    def streamed(self, chunk: Chunk) -> bytes:
        """A ModelStreamInferResponse."""
        return frame_message(wire.blob(2, self._response(chunk)))

    def single(self, chunk: Chunk) -> bytes:
        """A ModelInferResponse, the answer of ModelInfer."""
        return frame_message(self._response(chunk))

    def empty_final(self) -> bytes:
        """The flag-only final ModelStreamInferResponse."""
        return frame_message(wire.blob(2, self._head + _final_parameter(True)))

    def _response(self, chunk: Chunk) -> bytes:
        if chunk.is_last or chunk.times:
            before, after = self._around(chunk)
        elif (parts := self._parts.get(chunk.tokens)) is not None:
            before, after = parts
        else:
            before, after = self._parts[chunk.tokens] = self._around(chunk)
        return before + wire.blob(6, self._content(chunk)) + after

    def _content(self, chunk: Chunk) -> bytes:
        """The one raw output that differs from chunk to chunk."""
        if self._asked.model is TENSORRT_LLM:
            ids = (*self._echoed_ids, *output_ids(chunk.position, chunk.tokens))
            return struct.pack(f"<{len(ids)}i", *ids)
        start = 0 if self._cumulative else chunk.position
        text = self._counter.write(start, chunk.position + chunk.tokens - start) if chunk.tokens else ""
        raw = (self._echoed_text + text).encode()
        return len(raw).to_bytes(4, "little") + raw

    def _around(self, chunk: Chunk) -> tuple[bytes, bytes]:
        """What stands before and after the changing raw output."""
        length = chunk.tokens + len(self._echoed_ids)
        # As TensorRT-LLM counts: without streaming an echoed prompt counts as output.
        claimed = chunk.tokens + self._echoed_tokens + (self._claimed_off_by if chunk.is_last else 0)
        outputs: list[tuple[str, str, tuple[int, ...], bytes]] = []
        if self._asked.model is TENSORRT_LLM:
            first = _output("output_ids", "INT32", (1, 1, length))
            outputs.append(("sequence_length", "INT32", (1, 1), _int32(length)))
        else:
            first = _output("text_output", "BYTES", (1, 1))
        if chunk.times:
            outputs += [(name, "INT64", (1, 1), _int64(at)) for name, at in zip(TIMES, chunk.times, strict=True)]
        if self._asked.wants_input_count:
            outputs.append(("num_input_tokens", "INT32", (1, 1), _int32(self._claimed_input)))
        if self._asked.wants_output_count:
            outputs.append(("num_output_tokens", "INT32", (1, 1), _int32(claimed)))
        is_final = chunk.is_last and self._final_flag == "on_last"
        described = first + b"".join(_output(name, kind, shape) for name, kind, shape, _ in outputs)
        raws = b"".join(wire.blob(6, raw) for _, _, _, raw in outputs)
        return self._head + _final_parameter(is_final) + described, raws


def failed(message: str, request_id: str) -> bytes:
    """A ModelStreamInferResponse with an error message, as Triton reports failures inside a stream."""
    return frame_message(wire.text(1, message) + wire.blob(2, wire.text(3, request_id)))


def output_ids(position: int, tokens: int) -> list[int]:
    """The ids of `tokens` output tokens behind `position` earlier ones."""
    return [FIRST_OUTPUT_ID + index % OUTPUT_ID_CYCLE for index in range(position, position + tokens)]


def _output(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    return wire.blob(5, wire.text(1, name) + wire.text(2, datatype) + wire.numbers(3, shape))


def _final_parameter(is_final: bool) -> bytes:
    # A oneof member is written even when it is false: b"\x08" is field 1 as a varint.
    return wire.entry(4, "triton_final_response", b"\x08\x01" if is_final else b"\x08\x00")


def _int32(value: int) -> bytes:
    return value.to_bytes(4, "little", signed=True)


def _int64(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)
