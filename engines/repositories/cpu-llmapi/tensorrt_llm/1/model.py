"""The Triton model `tensorrt_llm` of the LLM-API contract: text in, text out. It starts the engine process and owns it.

Everything of substance is in engines/server; this file wires it to the Python backend. No metric families, as in
TensorRT-LLM.
"""

from __future__ import annotations

import json
import sys
from typing import Any


class TritonPythonModel:
    """See Triton's Python backend for the life cycle."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = {name: v["string_value"] for name, v in json.loads(args["model_config"])["parameters"].items()}
        sys.path.insert(0, parameters["server_dir"])
        import frontend
        import llmapi
        from conventions import LLMAPI
        from engine_owner import EngineOwner
        from tensors import Row
        from text import TextCodec

        self._frontend_module, self._with_batch = frontend, llmapi.with_batch
        codec = TextCodec(parameters["engine_dir"])
        self._engine = EngineOwner(parameters)
        self._frontend = frontend.Frontend(
            self._engine.channel,
            parse=lambda tensors, arrival_ns: llmapi.llmapi_requests(
                tensors, arrival_ns, codec.encode, codec.end_of_text
            ),
            reply=lambda tensors, index, outputs, _, request: llmapi.LlmApiReply(
                Row(tensors, index, llmapi.NAMES), outputs, request, codec.decode
            ),
            conventions=LLMAPI,
            cancellation_check_period_ms=int(parameters["cancellation_check_period_ms"]),
        )

    def execute(self, requests: list[Any]) -> None:
        arrival_ns = self._frontend_module.now_ns()
        for request in requests:
            tensors = self._frontend_module.named_inputs(request)
            stop = tensors.get("stop")
            if stop is not None and stop.any():
                self._stop(request)
            else:
                self._frontend.accept(request, self._with_batch(tensors), arrival_ns)

    def _stop(self, request: Any) -> None:
        """End the requests with the same id. This one is answered as cancelled too, also without such a request."""
        exchange = self._frontend.exchange(request)
        if not exchange.request_id:
            exchange.send_plain_error("A request id must be provided for request cancellation")
            return
        self._frontend.cancel_by_request_id(exchange.request_id)
        exchange.send_cancelled()

    def finalize(self) -> None:
        self._frontend.close()
        self._engine.close()
