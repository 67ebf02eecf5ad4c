"""A Triton model of the classic contract that takes and gives text, on the engine that `tensorrt_llm` started.

Behind `ensemble` and `tensorrt_llm_bls`; they differ in what a streamed response shows and in their conventions. Runs
in Triton's Python-backend stub.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import lifeline
import triton_python_backend_utils as pb_utils
from channel import EngineGone, open_channel
from conventions import Conventions
from frontend import Frontend, named_inputs, now_ns
from replies import replies, text_body
from tensors import TEXT_MODEL_NAMES, text_requests
from text import TextCodec

ENGINE_TIMEOUT_S = 150.0


class TextModel:
    """Connected from its making to `close`. Raises TritonModelException when there is no engine to connect to."""

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, str],
        conventions: Conventions,
        shown: Callable[[list[int], list[int]], list[int]],
    ) -> None:
        lifeline.exit_when_orphaned(os.getppid())
        codec = TextCodec(parameters["tokenizer_dir"])
        try:
            self._channel = open_channel(parameters["socket_path"], ENGINE_TIMEOUT_S, model=name)
        except EngineGone as gone:
            raise pb_utils.TritonModelException(str(gone)) from None
        self._frontend = Frontend(
            self._channel,
            parse=lambda tensors, arrival_ns: text_requests(tensors, arrival_ns, codec.encode, codec.end_of_text),
            reply=replies(TEXT_MODEL_NAMES, text_body(codec.decode), shown),
            conventions=conventions,
            cancellation_check_period_ms=int(parameters["cancellation_check_period_ms"]),
        )

    def execute(self, requests: list[Any]) -> None:
        arrival_ns = now_ns()
        for request in requests:
            self._frontend.accept(request, named_inputs(request), arrival_ns)

    def close(self) -> None:
        self._frontend.close()
        self._channel.close(shutdown=False)
