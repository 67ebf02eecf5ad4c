"""The Triton model `tensorrt_llm` of the LLM-API contract: text in, text out, on TensorRT-LLM's `LLM()`.

Written from the documented LLM API and never run on a real TensorRT-LLM: where NVIDIA's own model is at hand, render
with it (`harness engine render SPEC --templates`). model.yaml beside this file holds the arguments of `LLM()`, and what
Triton has to know under triton_config. Each response holds the whole text so far; every output is text, as upstream's.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
import yaml

SAMPLING = "sampling_param_"
NOT_SAMPLING = ("exclude_input_from_output", "return_perf_metrics")


def settings() -> dict[str, Any]:
    """The content of model.yaml."""
    default = Path(__file__).with_name("model.yaml")
    return dict(yaml.safe_load(Path(os.environ.get("LLM_CONFIG_PATH", default)).read_text()))


class TritonPythonModel:
    """See Triton's Python backend for the life cycle."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        triton = settings()["triton_config"]
        config.set_max_batch_size(int(triton["max_batch_size"]))
        config.set_model_transaction_policy({"decoupled": bool(triton["decoupled"])})
        return config

    def initialize(self, args: dict[str, str]) -> None:
        arguments = settings()
        triton = arguments.pop("triton_config")
        choose_devices(json.loads(args["model_config"]), args["model_instance_name"])
        from tensorrt_llm import LLM, SamplingParams  # only now: it looks at the visible GPUs when it is imported

        self._decoupled = bool(triton["decoupled"])
        self._period_s = float(triton["cancellation_check_period_ms"]) / 1000
        self._sampling_params = SamplingParams
        self._llm = LLM(**arguments)
        self._running: dict[str, list[Any]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            asyncio.run_coroutine_threadsafe(self._serve(request, request.get_response_sender()), self._loop)

    async def _serve(self, request: Any, sender: Any) -> None:
        try:
            inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            if switch(inputs, "stop"):
                self._stop(request.request_id())
                raise Cancelled
            await self._generate(inputs, request.request_id(), sender)
        except Cancelled:
            error = pb_utils.TritonError("Request cancelled by client", pb_utils.TritonError.CANCELLED)
            sender.send(pb_utils.InferenceResponse(error=error))
        except Exception as problem:  # a broken request must not end the model
            error = pb_utils.TritonError(f"Error generating request: {problem}")
            sender.send(pb_utils.InferenceResponse(error=error))
        finally:
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    async def _generate(self, inputs: dict[str, np.ndarray], request_id: str, sender: Any) -> None:
        streams = switch(inputs, "streaming")
        if streams and not self._decoupled:
            raise ValueError("Streaming is only supported in decoupled mode.")
        prompt = inputs["text_input"].reshape(-1)[0].decode("utf-8", errors="replace")
        params = self._sampling_params(**sampling(inputs))
        output = self._llm.generate_async(prompt, sampling_params=params, streaming=streams)
        self._running.setdefault(request_id, []).append(output)
        watcher = asyncio.ensure_future(self._abort_when_cancelled(sender, output))
        try:
            if streams:
                async for step in output:
                    sender.send(reply(step, inputs))
            else:
                sender.send(reply(await output.aresult(), inputs))
        finally:
            watcher.cancel()
            self._running[request_id].remove(output)

    async def _abort_when_cancelled(self, sender: Any, output: Any) -> None:
        while not sender.is_cancelled():
            await asyncio.sleep(self._period_s)
        output.abort()

    def _stop(self, request_id: str) -> None:
        if not request_id:
            raise ValueError("A request id must be provided for request cancellation")
        for output in self._running.get(request_id, ()):
            output.abort()

    def finalize(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._llm.shutdown()


class Cancelled(Exception):
    """The request was one to stop another."""


def choose_devices(config: dict[str, Any], instance: str) -> None:
    """Show this instance its own GPUs, of the groups `0,1;2,3` in the parameter gpu_device_ids."""
    groups = config.get("parameters", {}).get("gpu_device_ids", {}).get("string_value", "")
    if groups:
        number = int(instance.rpartition("_")[2])
        os.environ["CUDA_VISIBLE_DEVICES"] = groups.split(";")[number]


def switch(inputs: dict[str, np.ndarray], name: str) -> bool:
    return name in inputs and bool(inputs[name].any())


def sampling(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """The keyword arguments of SamplingParams; `stop` is a list of texts."""
    named = {name.removeprefix(SAMPLING): array for name, array in inputs.items() if name.startswith(SAMPLING)}
    values = {n: array.reshape(-1)[0].item() for n, array in named.items() if n not in NOT_SAMPLING and n != "stop"}
    if "stop" in named:
        values["stop"] = [text.decode("utf-8", errors="replace") for text in named["stop"].reshape(-1)]
    return {**values, "return_perf_metrics": switch(inputs, f"{SAMPLING}return_perf_metrics")}


def reply(step: Any, inputs: dict[str, np.ndarray]) -> Any:
    """One response: the texts so far, and what was asked for beside them."""
    tensors = [texts("text_output", [output.text for output in step.outputs])]
    wanted = (("finish_reason", "finish_reason"), ("stop_reason", "stop_reason"))
    wanted += (("cumulative_logprob", "cumulative_logprob"),)
    for name, attribute in wanted:
        if switch(inputs, f"return_{name}"):
            tensors.append(texts(name, [getattr(output, attribute) for output in step.outputs]))
    return pb_utils.InferenceResponse(tensors)


def texts(name: str, values: list[Any]) -> Any:
    return pb_utils.Tensor(name, np.array([str(value).encode() for value in values], dtype=object))
