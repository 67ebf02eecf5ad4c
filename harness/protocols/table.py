"""Every protocol the harness speaks: one entry each. What an entry needs is in the README beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.protocols import openai, triton_answer, triton_grpc, triton_http
from harness.protocols.answer import Answer
from harness.protocols.contract import ModelContract
from harness.protocols.encoder import Encoder, RequestOptions

Transport = Literal["http2", "http1"]


@dataclass(frozen=True)
class Protocol:
    """One protocol.

    `decode` takes the finished call of its transport (`grpc_frames.Call`, `http_frames.HttpCall`). `until_tokens` gives
    a call's `watch`: True at the message that brings so many output tokens.
    """

    name: str
    transport: Transport
    encoder: Callable[[ModelContract, RequestOptions], Encoder]
    decode: Callable[[Any], Answer]
    until_tokens: Callable[[int], Callable[[int, bytes], bool]]
    always_counts: bool = False  # answers tell their token counts, whatever the model


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("triton_grpc", "http2", triton_grpc.RequestEncoder, triton_answer.decode, triton_answer.until_tokens),
        Protocol("triton_http", "http1", triton_http.TritonHttpEncoder, triton_http.decode, triton_http.until_tokens),
        Protocol("openai_chat", "http1", openai.chat_encoder, openai.decode, openai.until_tokens, True),
        Protocol("openai_completions", "http1", openai.completions_encoder, openai.decode, openai.until_tokens, True),
    )
}
