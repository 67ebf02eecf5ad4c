"""One tiny streamed request to a server that has just become ready: does it answer, and how soon?

Over HTTP with Triton's `generate_stream` or OpenAI's completions, whatever protocol the run will use: nothing here is
measured load. The prompt differs each time, so that no cache makes the second answer free.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.errors import TargetNotReady
from harness.target.triton import Contract

TOKENS = 2
_MOST_LINES = 1000


@dataclass(frozen=True)
class Question:
    """Where to send it, and the body for the n-th time."""

    host: str
    port: int
    path: str
    body: Callable[[int], dict[str, Any]]


def triton_question(host: str, port: int, model: str, contract: Contract) -> Question:
    """For a Triton model of either contract, text or token ids."""
    return Question(host, port, f"/v2/models/{model}/generate_stream", _triton_body(contract))


def openai_question(host: str, port: int, model: str) -> Question:
    """For OpenAI's completions, as trtllm-serve has them."""

    def body(number: int) -> dict[str, Any]:
        return {"model": model, "prompt": _words(number), "max_tokens": TOKENS, "stream": True, "temperature": 0}

    return Question(host, port, "/v1/completions", body)


def prober(question: Question, limit_s: float) -> Callable[[], float]:
    """A function that asks once more and returns the time to the first answer, in seconds.

    It raises TargetNotReady when the server answers with an error, not at all, or with nothing.
    """
    numbers = itertools.count()
    return lambda: _ask(question, next(numbers), limit_s)


def _ask(question: Question, number: int, limit_s: float) -> float:
    connection = http.client.HTTPConnection(question.host, question.port, timeout=limit_s)
    with contextlib.closing(connection):
        try:
            began_s = time.monotonic()
            headers = {"Content-Type": "application/json"}
            connection.request("POST", question.path, json.dumps(question.body(number)), headers)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise _no_answer(question, f"HTTP {response.status}: {_short(response.read(2000))}")
            first_s = None
            for line in _events(response):
                if (said := _error(line)) is not None:
                    raise _no_answer(question, said)
                first_s = time.monotonic() - began_s if first_s is None else first_s
        except (OSError, http.client.HTTPException) as error:
            raise _no_answer(question, f"no answer within {limit_s:.0f} s ({error!r})") from error
    if first_s is None:
        raise _no_answer(question, "the answer is empty")
    return first_s


def _events(response: http.client.HTTPResponse) -> Iterator[str]:
    """The data of server-sent events; all of them are read, so that the next request finds an idle server."""
    for _ in range(_MOST_LINES):
        line = response.readline()
        if not line:
            return
        if line.startswith(b"data:") and b"[DONE]" not in line:
            yield line.removeprefix(b"data:").decode(errors="replace").strip()


def _error(data: str) -> str | None:
    try:
        said = json.loads(data)
    except ValueError:
        return None
    return _short(str(said["error"]).encode()) if isinstance(said, dict) and "error" in said else None


def _no_answer(question: Question, why: str) -> TargetNotReady:
    return TargetNotReady(
        f"the server is ready but does not answer a request of {TOKENS} tokens ({question.path}): {why}",
        hint="look at its log; does the rendered repository fit the engine?",
    )


def _triton_body(contract: Contract) -> Callable[[int], dict[str, Any]]:
    if "input_ids" in contract.inputs:
        return lambda number: {
            "input_ids": [5 + number, 6, 7, 8],
            "input_lengths": 4,
            "request_output_len": TOKENS,
            "streaming": True,
        }
    if "sampling_param_max_tokens" in contract.inputs:
        return lambda number: {
            "text_input": _words(number),
            "sampling_param_max_tokens": TOKENS,
            "streaming": True,
        }
    return lambda number: {"text_input": _words(number), "max_tokens": TOKENS, "stream": True}


def _words(number: int) -> str:
    return f"{number} is the number of this warm-up question"


def _short(body: bytes) -> str:
    return " ".join(body.decode(errors="replace").split())[:200]
