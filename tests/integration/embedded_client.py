"""A small streaming client on tritonclient for the contract tests: requests as plain dictionaries, answers with
instants.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Any

import numpy as np
import tritonclient.grpc as grpcclient

WAIT_S = 30.0
TEXT, REAL, SWITCH, WIDE = {"text_input", "stop_words", "bad_words"}, {"temperature", "top_p"}, set(), {"seed"}
FLAT = {"input_ids"}  # sent as [1, n]; the rest as [1, 1], or [rows, 1] for a list


@dataclass
class Answer:
    """What came back for one request: responses in order, each with its instant (perf_counter seconds)."""

    sent_s: float = 0.0
    responses: list[Any] = field(default_factory=list)
    instants_s: list[float] = field(default_factory=list)
    finals: list[bool] = field(default_factory=list)
    error: str | None = None
    ended_s: float = 0.0

    def arrays(self, name: str) -> list[Any]:
        return [response.as_numpy(name) for response in self.responses]

    def tokens(self) -> list[int]:
        return [int(t) for array in self.arrays("output_ids") for t in array.reshape(-1)]

    def scalar(self, name: str, response: int = -1) -> int:
        return int(self.responses[response].as_numpy(name).reshape(-1)[0])

    def output_names(self, response: int = -1) -> set[str]:
        return {output.name for output in self.responses[response].get_response().outputs}


class Client:
    """One gRPC stream. `send` any number of requests, `collect` their answers."""

    def __init__(self, url: str) -> None:
        self._arrived: Queue[tuple[float, Any, Any]] = Queue()
        self._client = grpcclient.InferenceServerClient(url)
        self._client.start_stream(lambda result, error: self._arrived.put((time.perf_counter(), result, error)))
        self.answers: dict[str, Answer] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._client.close()

    def send(self, model: str, request_id: str = "r", outputs: Sequence[str] = (), **inputs: Any) -> None:
        wanted = [grpcclient.InferRequestedOutput(name) for name in outputs] or None
        self.answers.setdefault(request_id, Answer(sent_s=time.perf_counter()))
        self._client.async_stream_infer(
            model, tensors(inputs), request_id=request_id, outputs=wanted, enable_empty_final_response=True
        )

    def cancel(self) -> None:
        """Cancel everything that is under way on this stream (RST_STREAM)."""
        self._client.stop_stream(cancel_requests=True)

    def next(self, wait_s: float = WAIT_S) -> str:
        """Wait for one response and file it; returns its request id."""
        instant_s, result, error = self._arrived.get(timeout=wait_s)
        if error is not None:
            return self._file_error(instant_s, error)
        response = result.get_response()
        answer = self.answers[response.id]
        answer.responses.append(result)
        answer.instants_s.append(instant_s)
        answer.finals.append(response.parameters["triton_final_response"].bool_param)
        if answer.finals[-1]:
            answer.ended_s = instant_s
        return str(response.id)

    def _file_error(self, instant_s: float, error: Any) -> str:
        """An error carries no request id: it belongs to the only request that has not ended."""
        for request_id, answer in self.answers.items():
            if not answer.ended_s:
                answer.error, answer.ended_s = str(error), instant_s
                return request_id
        raise AssertionError(f"an error for no request: {error}")

    def collect(self, wait_s: float = WAIT_S) -> dict[str, Answer]:
        """Until every request has ended."""
        try:
            while not all(answer.ended_s for answer in self.answers.values()):
                self.next(wait_s)
        except Empty:
            waiting = [name for name, answer in self.answers.items() if not answer.ended_s]
            raise AssertionError(f"no end within {wait_s} s for {waiting}") from None
        return self.answers

    def ask(self, model: str, outputs: Sequence[str] = (), **inputs: Any) -> Answer:
        """One request and its whole answer."""
        self.answers.clear()
        self.send(model, outputs=outputs, **inputs)
        return self.collect()["r"]

    def tokens(self, prompt: Sequence[int], count: int, *, streaming: bool = True, **more: Any) -> Answer:
        """One request to `tensorrt_llm`."""
        return self.ask("tensorrt_llm", **token_inputs(prompt, count, streaming=streaming, **more))


def token_inputs(prompt: Sequence[int], count: int, *, streaming: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "input_ids": list(prompt),
        "input_lengths": len(prompt),
        "request_output_len": count,
        "streaming": streaming,
        **more,
    }


def tensors(inputs: dict[str, Any]) -> list[grpcclient.InferInput]:
    return [_tensor(name, value) for name, value in inputs.items()]


def _tensor(name: str, value: Any) -> grpcclient.InferInput:
    array = value if isinstance(value, np.ndarray) else _array(name, value)
    kind = {
        "int32": "INT32",
        "uint64": "UINT64",
        "float32": "FP32",
        "bool": "BOOL",
        "object": "BYTES",
        "uint8": "UINT8",
    }
    tensor = grpcclient.InferInput(name, array.shape, kind[str(array.dtype)])
    tensor.set_data_from_numpy(array)
    return tensor


def _array(name: str, value: Any) -> np.ndarray:
    if isinstance(value, bool):
        return np.array([[value]], dtype=bool)
    if name in TEXT:
        texts = [value] if isinstance(value, str) else value
        return np.array([[text.encode() for text in texts]], dtype=object)
    kind = np.float32 if isinstance(value, float) else np.uint64 if name in WIDE else np.int32
    return np.array([value], dtype=kind) if name in FLAT else np.array([[value]], dtype=kind)
