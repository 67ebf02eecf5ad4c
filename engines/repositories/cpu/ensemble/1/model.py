"""The Triton model `ensemble`: text in, text out, on the engine process that the model `tensorrt_llm` started.

In TensorRT-LLM this is a pipeline of Triton's ensemble scheduler. Here it is a Python model, because that scheduler
does not pass a cancel on to its steps. Everything of substance is in engines/server; this file wires it to the Python
backend.
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
        from conventions import CLASSIC
        from replies import step_alone
        from text_model import TextModel

        self._model = TextModel("ensemble", parameters, CLASSIC, step_alone)

    def execute(self, requests: list[Any]) -> None:
        self._model.execute(requests)

    def finalize(self) -> None:
        self._model.close()
