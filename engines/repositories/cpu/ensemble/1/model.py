"""The Triton model `ensemble`: text in, text out, on the engine process that the model `tensorrt_llm` started.

In TensorRT-LLM this is a pipeline of Triton's ensemble scheduler. Here it is a Python model, because that scheduler
does not pass a cancel on to its steps. Everything of substance is in engines/server; this file wires it to the Python
backend.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import triton_python_backend_utils as pb_utils

ENGINE_TIMEOUT_S = 150.0


class TritonPythonModel:
    """See Triton's Python backend for the life cycle."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = {name: v["string_value"] for name, v in json.loads(args["model_config"])["parameters"].items()}
        sys.path.insert(0, parameters["server_dir"])
        import frontend
        import lifeline
        from channel import EngineGone, open_channel
        from replies import text_body
        from tensors import TEXT_MODEL_NAMES, text_requests
        from text import TextCodec

        lifeline.exit_when_orphaned(os.getppid())
        self._frontend_module = frontend
        codec = TextCodec(parameters["tokenizer_dir"])
        try:
            self._channel = open_channel(parameters["socket_path"], ENGINE_TIMEOUT_S, model="ensemble")
        except EngineGone as gone:
            raise pb_utils.TritonModelException(str(gone)) from None
        self._frontend = frontend.Frontend(
            self._channel,
            parse=lambda tensors, arrival_ns: text_requests(tensors, arrival_ns, codec.encode, codec.end_of_text),
            body=text_body(codec.decode),
            names=TEXT_MODEL_NAMES,
            required_outputs=(),
            cancellation_check_period_ms=int(parameters["cancellation_check_period_ms"]),
        )

    def execute(self, requests: list[Any]) -> None:
        arrival_ns = self._frontend_module.now_ns()
        for request in requests:
            self._frontend.accept(request, self._frontend_module.named_inputs(request), arrival_ns)

    def finalize(self) -> None:
        self._frontend.close()
        self._channel.close(shutdown=False)
