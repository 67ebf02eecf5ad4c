"""The Triton model `tensorrt_llm`: token ids in, token ids out. It starts the engine process and owns it.

Everything of substance is in engines/server; this file wires it to the Python backend.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """See Triton's Python backend for the life cycle."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = {name: v["string_value"] for name, v in json.loads(args["model_config"])["parameters"].items()}
        sys.path.insert(0, parameters["server_dir"])
        import frontend
        from conventions import CLASSIC
        from engine_owner import EngineOwner
        from metric_families import MetricFamilies
        from replies import replies, token_body
        from tensors import TOKEN_MODEL_NAMES, token_requests

        self._frontend_module = frontend
        self._metrics = MetricFamilies(args["model_name"], args["model_version"])
        try:
            self._engine = EngineOwner(parameters, on_statistics=self._metrics.show)
        except pb_utils.TritonModelException:
            self._metrics.close()
            raise
        self._frontend = frontend.Frontend(
            self._engine.channel,
            parse=token_requests,
            reply=replies(TOKEN_MODEL_NAMES, token_body),
            conventions=CLASSIC,
            cancellation_check_period_ms=int(parameters["cancellation_check_period_ms"]),
            required_outputs=("output_ids", "sequence_length"),
        )

    def execute(self, requests: list[Any]) -> None:
        arrival_ns = self._frontend_module.now_ns()
        for request in requests:
            tensors = self._frontend_module.named_inputs(request)
            stop = tensors.get("stop")
            if stop is not None and stop.any():
                self._stop(request)
            else:
                self._frontend.accept(request, tensors, arrival_ns)

    def _stop(self, request: Any) -> None:
        """End the requests with the same id; this one gets an empty success."""
        exchange = self._frontend.exchange(request)
        if not exchange.request_id:
            exchange.send_error(
                "Trying to stop a request but request ID is not provided", pb_utils.TritonError.INVALID_ARG
            )
            return
        self._frontend.cancel_by_request_id(exchange.request_id)
        exchange.send({}, ends_row=True)

    def finalize(self) -> None:
        self._frontend.close()
        self._engine.close()
        self._metrics.close()
