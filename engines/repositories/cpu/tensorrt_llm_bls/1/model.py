"""The Triton model `tensorrt_llm_bls`: text in, text out, on the engine process that the model `tensorrt_llm` started.

In TensorRT-LLM this model calls the others through Triton's business-logic scripting. Here it speaks to the engine
itself: a scripted call that was cancelled keeps Triton from ever unloading the model. Everything of substance is in
engines/server; this file wires it to the Python backend.
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
        from conventions import BLS
        from replies import step_alone, whole_so_far
        from settings import switch
        from text_model import TextModel

        shown = whole_so_far if switch(parameters, "accumulate_tokens") else step_alone
        self._model = TextModel("tensorrt_llm_bls", parameters, BLS, shown)

    def execute(self, requests: list[Any]) -> None:
        self._model.execute(requests)

    def finalize(self) -> None:
        self._model.close()
