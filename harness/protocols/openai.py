"""OpenAI's chat completions and completions over HTTP/1.1 SSE, as trtllm-serve speaks them.

Only documented fields are sent, because trtllm-serve refuses others (`extra=forbid`): `ignore_eos` and `min_tokens` pin
the length of the answer, the usage chunk at the end counts the tokens. A chat template adds tokens of its own to the
prompt: only completions give prompts of an exact length. Source: `tensorrt_llm/serve/openai_protocol.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.protocols.answer import Answer
from harness.protocols.chunks import Chunks
from harness.protocols.contract import ModelContract
from harness.protocols.encoder import Encoder, Header, RequestOptions
from harness.protocols.http_answer import DONE, Watch, contents_of, error_in, outcome_of, parsed, parsed_all, until
from harness.protocols.http_frames import HttpCall
from harness.protocols.http_request import RequestHead, body_of, json_fields, json_object

_SILENT = (b"", DONE)


def contract(model: str) -> ModelContract:
    """A model behind this API takes text; it has no metadata that says more."""
    return ModelContract(model, {"text_input": "BYTES"})


def chat_encoder(contract: ModelContract, options: RequestOptions) -> Encoder:
    """Requests to /v1/chat/completions."""
    return _ChatEncoder(contract, options, "/v1/chat/completions")


def completions_encoder(contract: ModelContract, options: RequestOptions) -> Encoder:
    """Requests to /v1/completions."""
    return _CompletionsEncoder(contract, options, "/v1/completions")


class _OpenAiEncoder:
    def __init__(self, contract: ModelContract, options: RequestOptions, path: str) -> None:
        fields: dict[str, Any] = {"model": contract.model, "stream": options.streamed, "ignore_eos": True}
        if options.streamed:
            fields["stream_options"] = {"include_usage": True}
        self._constants = json_fields(fields)
        self._head = RequestHead(options, path)

    def _request(self, request_id: str, prompt: dict[str, Any], output_tokens: int, extra: Sequence[Header]) -> bytes:
        own = prompt | {"max_tokens": output_tokens, "min_tokens": output_tokens}
        return self._head.request(request_id, json_object(json_fields(own), self._constants), extra)


class _ChatEncoder(_OpenAiEncoder):
    def text(self, request_id: str, text: bytes, output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        messages = [{"role": "user", "content": text.decode()}]
        return self._request(request_id, {"messages": messages}, output_tokens, extra)

    def ids(self, request_id: str, ids: NDArray[np.int32], output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        raise UsageError("a chat takes text, not token ids", hint="use protocol: openai_completions")


class _CompletionsEncoder(_OpenAiEncoder):
    def text(self, request_id: str, text: bytes, output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        return self._request(request_id, {"prompt": text.decode()}, output_tokens, extra)

    def ids(self, request_id: str, ids: NDArray[np.int32], output_tokens: int, extra: Sequence[Header] = ()) -> bytes:
        return self._request(request_id, {"prompt": ids.tolist()}, output_tokens, extra)


def decode(call: HttpCall) -> Answer:
    """The answer of a call that has ended."""
    reader = _Reader()
    if call.http_status == 200:
        contents = contents_of(call)
        reader.finished = DONE in contents
        both = zip(call.stamps, contents, strict=True)
        told = [(stamp, content) for stamp, content in both if content not in _SILENT]
        for (stamp, _), message in zip(told, parsed_all([content for _, content in told]), strict=True):
            reader.take_message(stamp, message)
    missing = None if reader.finished else "the stream ended without [DONE]"
    started = bool(reader.chunks.stamps)
    outcome, why = outcome_of(call, started=started, error=reader.error, end_missing=missing)
    return reader.chunks.answer(
        outcome, why, call.ended_ns, streamed=call.streamed, prompt=lambda: _prompt(call.request)
    )


def until_tokens(tokens: int) -> Watch:
    """A watch for `HttpCall`: True at the event that brings the `tokens`-th output token."""
    return until(_Reader(), tokens)


class _Reader:
    """Collects the chunks of one answer."""

    def __init__(self) -> None:
        self.chunks = Chunks()
        self.error: str | None = None
        self.finished = False
        self._told = 0  # completion tokens by the latest usage that came with a chunk

    def take(self, stamp: int, content: bytes) -> None:
        """The data of one event, or a whole body, received at `stamp`."""
        if content == DONE:
            self.finished = True
        elif content:
            self.take_message(stamp, parsed(content))

    def take_message(self, stamp: int, message: dict[str, Any]) -> None:
        """The object in one event."""
        self.error = error_in(message) or self.error
        usage = message.get("usage")
        choices = message.get("choices")
        if choices:
            self._take_choice(stamp, choices[0], usage)
        if isinstance(usage, dict):
            self.chunks.input_tokens = usage.get("prompt_tokens", self.chunks.input_tokens)
            self.chunks.total_tokens = usage.get("completion_tokens", self.chunks.total_tokens)

    def _take_choice(self, stamp: int, choice: dict[str, Any], usage: Any) -> None:
        """Where usage comes with every chunk (`continuous_usage_stats`), its increase is the chunk's count."""
        self.finished |= choice.get("finish_reason") is not None
        tokens = None
        if isinstance(usage, dict) and isinstance(usage.get("completion_tokens"), int):
            tokens = usage["completion_tokens"] - self._told
            self._told += tokens
        self.chunks.take(stamp, _text_of(choice).encode(), tokens)


def _text_of(choice: dict[str, Any]) -> str:
    """New text of a chunk, or the text of a whole answer; a model's reasoning is output too."""
    said = choice.get("delta") or choice.get("message")
    if not isinstance(said, dict):
        return choice.get("text") or ""
    return "".join(said.get(name) or "" for name in ("reasoning_content", "reasoning", "content"))


def _prompt(request: bytes) -> bytes:
    body = body_of(request)
    prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    return prompt.encode() if isinstance(prompt, str) else json.dumps(prompt).encode()
