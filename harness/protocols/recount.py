"""Output tokens counted by the client's tokenizer, for answers of which the server gives no count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from harness.protocols.answer import Answer

Decode = Callable[[Any], Answer]


def recounting(decode: Decode, count: Callable[[bytes], int]) -> Decode:
    """`decode`, with the tokens of the text counted where nobody else did. `count`: without special tokens."""

    def decoded(call: Any) -> Answer:
        answer = decode(call)
        if not answer.text or answer.output_tokens_server is not None or answer.output_tokens_client is not None:
            return answer
        return dataclasses.replace(answer, output_tokens_client=count(answer.text))

    return decoded
