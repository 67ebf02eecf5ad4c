"""Answers over HTTP as JSON: Triton's generate, and OpenAI's chat completions and completions.

An encoder gives the content of an event, or of the whole body; how it is framed is for the exchange. For the hot path,
what is constant is encoded once a request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from harness.truth.asked import Asked
from harness.truth.behaviour import Behaviour
from harness.truth.counting import TokenCounter
from harness.truth.models import TENSORRT_LLM, TIMES, VERSION
from harness.truth.replies import Chunk, output_ids

Api = Literal["generate", "chat", "completions"]


class JsonReplies(Protocol):
    """Encodes the responses of one request."""

    def streamed(self, chunk: Chunk) -> bytes:
        """One event."""

    def single(self, chunk: Chunk) -> bytes:
        """The whole body."""

    def failed(self, message: str) -> bytes:
        """An error, as an event or as a body."""

    def closing(self) -> list[bytes]:
        """The events behind the last chunk of a complete answer."""


class GenerateReplies:
    """Triton's generate."""

    def __init__(self, asked: Asked, counter: TokenCounter, behaviour: Behaviour) -> None:
        self._asked = asked
        self._counter = counter
        self._behaviour = behaviour
        self._same: dict[int, bytes] = {}
        self._head: dict[str, Any] = {"model_name": asked.model.name, "model_version": VERSION}
        self._echoed = "" if asked.is_streaming or asked.excludes_input else asked.prompt

    def streamed(self, chunk: Chunk) -> bytes:
        """The event's JSON."""
        return self.single(chunk)

    def single(self, chunk: Chunk) -> bytes:
        """The JSON object of a response."""
        plain = not (chunk.is_last or chunk.times)
        same = self._same.get(chunk.tokens) if plain else None
        if same is None:
            same = json.dumps(self._head | self._counted(chunk))[:-1].encode()
            if plain:
                self._same[chunk.tokens] = same
        if self._asked.model is TENSORRT_LLM:
            echoed = list(self._echoed) if isinstance(self._echoed, tuple) else []
            ids = echoed + output_ids(chunk.position, chunk.tokens)
            return b'%b,"output_ids":%b,"sequence_length":%d}' % (same, json.dumps(ids).encode(), len(ids))
        return b'%b,"text_output":%b}' % (same, json.dumps(f"{self._echoed}{self._text(chunk)}").encode())

    def failed(self, message: str) -> bytes:
        """As Triton says it."""
        return json.dumps({"error": message}).encode()

    def closing(self) -> list[bytes]:
        """Triton says nothing at the end."""
        return []

    def _text(self, chunk: Chunk) -> str:
        if self._behaviour.cumulative_text:
            return self._counter.write(0, chunk.position + chunk.tokens)
        return self._counter.write(chunk.position, chunk.tokens) if chunk.tokens else ""

    def _counted(self, chunk: Chunk) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        off = self._behaviour.claimed_output_tokens_off_by if chunk.is_last else 0
        if chunk.times:
            fields |= dict(zip(TIMES, chunk.times, strict=True))
        if self._asked.wants_input_count:
            fields["num_input_tokens"] = self._asked.input_tokens + self._behaviour.claimed_input_tokens_off_by
        if self._asked.wants_output_count:
            fields["num_output_tokens"] = chunk.tokens + off + (self._asked.input_tokens if self._echoed else 0)
        return fields


class OpenAiReplies:
    """Chat completions or completions."""

    def __init__(self, asked: Asked, counter: TokenCounter, behaviour: Behaviour, *, chat: bool) -> None:
        self._asked = asked
        self._counter = counter
        self._behaviour = behaviour
        self._chat = chat
        self._sent = 0
        kind = "chat.completion" if chat else "text_completion"
        streamed = ".chunk" if chat and asked.is_streaming else ""
        self._head: dict[str, Any] = {
            "id": f"cmpl-{asked.request_id}",
            "object": kind + streamed,
            "model": asked.model.name,
        }
        self._before = json.dumps(self._head)[:-1].encode() + b',"choices":[{"index":0,'

    def streamed(self, chunk: Chunk) -> bytes:
        """One event; the finish reason comes with the last."""
        self._sent += chunk.tokens
        text = json.dumps(self._counter.write(chunk.position, chunk.tokens) if chunk.tokens else "").encode()
        said = b'"delta":{"content":%b}' % text if self._chat else b'"text":%b' % text
        ends = chunk.is_last and self._behaviour.final_flag != "missing"
        return b'%b%b,"finish_reason":%b}]}' % (self._before, said, b'"length"' if ends else b"null")

    def single(self, chunk: Chunk) -> bytes:
        """The whole answer."""
        self._sent += chunk.tokens
        text = self._counter.write(chunk.position, chunk.tokens)
        said = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        choice = {"index": 0, **said, "finish_reason": "length"}
        return json.dumps(self._head | {"choices": [choice], "usage": self._usage()}).encode()

    def failed(self, message: str) -> bytes:
        """The flat error body of trtllm-serve."""
        return json.dumps({"object": "error", "message": message, "type": "InternalServerError", "code": 500}).encode()

    def closing(self) -> list[bytes]:
        """The usage chunk where it was asked for, and the end mark."""
        if self._behaviour.final_flag == "missing":
            return []
        usage = json.dumps(self._head | {"choices": [], "usage": self._usage()}).encode()
        return [usage, b"[DONE]"] if self._asked.wants_output_count else [b"[DONE]"]

    def _usage(self) -> Mapping[str, int]:
        prompt = self._asked.input_tokens + self._behaviour.claimed_input_tokens_off_by
        completion = self._sent + self._behaviour.claimed_output_tokens_off_by
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def replies_for(api: Api, asked: Asked, counter: TokenCounter, behaviour: Behaviour) -> JsonReplies:
    """The encoder of one request."""
    if api == "generate":
        return GenerateReplies(asked, counter, behaviour)
    return OpenAiReplies(asked, counter, behaviour, chat=api == "chat")
