"""What goes back for one row: named arrays with TensorRT-LLM's shapes, only the outputs that were asked for. Pure.

Streaming: one response per step with the tokens of that step alone, never the prompt. Not streaming: one response
with everything, the prompt included unless `exclude_input_in_output`, and then also counted in `num_output_tokens`,
as in TensorRT-LLM. A text is that of the response's own tokens, so a character split over two responses shows as
U+FFFD, as in its `ensemble`. With `whole_so_far` (`tensorrt_llm_bls` with accumulate_tokens) each response shows
everything up to its step; the counts stay those of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import numpy as np
from generation import GenerationRequest
from tensors import Row, Tensors
from wire import Message

Outputs = dict[str, np.ndarray]
INSTANT_NAMES = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")


@dataclass(frozen=True)
class Wish:
    """What the client wants to see. `batch_index` is None for a request of one row."""

    outputs: Set[str]
    streaming: bool
    exclude_input: bool
    perf_metrics: bool
    num_input_tokens: bool
    num_output_tokens: bool
    batch_index: int | None

    @classmethod
    def of(cls, row: Row, outputs: Set[str], batch_index: int | None) -> Wish:
        return cls(
            outputs=outputs,
            streaming=row.switch("streaming"),
            exclude_input=row.switch("exclude_input_in_output"),
            perf_metrics=row.switch("return_perf_metrics"),
            num_input_tokens=row.switch("return_num_input_tokens"),
            num_output_tokens=row.switch("return_num_output_tokens"),
            batch_index=batch_index,
        )


def step_alone(new: list[int], so_far: list[int]) -> list[int]:
    """What a streamed response shows: the tokens of its step."""
    return new


def whole_so_far(new: list[int], so_far: list[int]) -> list[int]:
    """What a streamed response shows: all tokens up to its step."""
    return so_far


class Reply:
    """Collects the steps of one row and says what to send after each."""

    def __init__(
        self,
        wish: Wish,
        request: GenerationRequest,
        body: Callable[[list[int]], Outputs],
        shown: Callable[[list[int], list[int]], list[int]] = step_alone,
    ) -> None:
        self._wish, self._request, self._body, self._shown = wish, request, body, shown
        self._tokens: list[int] = []

    def after(self, step: Message) -> Outputs | None:
        """The outputs to send after this step; None when nothing is to be sent yet."""
        self._tokens += step["tokens"]
        if self._wish.streaming:
            return self._response(self._shown(step["tokens"], self._tokens), len(step["tokens"]), step)
        if step["finish"] is None:
            return None
        tokens = ([] if self._wish.exclude_input else self._request.input_ids) + self._tokens
        return self._response(tokens, len(tokens), step)

    def _response(self, tokens: list[int], counted: int, step: Message) -> Outputs:
        outputs = self._body(tokens)
        wish = self._wish
        if wish.batch_index is not None:
            outputs["batch_index"] = _scalar(wish.batch_index)
        if wish.num_input_tokens:
            outputs["num_input_tokens"] = _scalar(len(self._request.input_ids))
        if wish.num_output_tokens:
            outputs["num_output_tokens"] = _scalar(counted)
        if wish.perf_metrics:
            outputs |= _perf_metrics(step)
        return {name: array for name, array in outputs.items() if name in wish.outputs}


def replies(
    names: Mapping[str, str],
    body: Callable[[list[int]], Outputs],
    shown: Callable[[list[int], list[int]], list[int]] = step_alone,
) -> Callable[[Tensors, int, Set[str], int | None, GenerationRequest], Reply]:
    """What a model of the classic contract answers with: `frontend.MakeReply`."""

    def reply(
        tensors: Tensors, index: int, outputs: Set[str], batch_index: int | None, request: GenerationRequest
    ) -> Reply:
        return Reply(Wish.of(Row(tensors, index, names), outputs, batch_index), request, body, shown)

    return reply


def token_body(tokens: list[int]) -> Outputs:
    """output_ids [1, 1 beam, n] and sequence_length [1, 1]."""
    return {
        "output_ids": np.array([[tokens]], dtype=np.int32).reshape(1, 1, -1),
        "sequence_length": _scalar(len(tokens)),
    }


def text_body(decode: Callable[[list[int]], str]) -> Callable[[list[int]], Outputs]:
    """text_output [1]: without a beam axis, which is how TensorRT-LLM's postprocessing sends it."""
    return lambda tokens: {"text_output": np.array([decode(tokens).encode()], dtype=object)}


def _perf_metrics(step: Message) -> Outputs:
    blocks, reused = step["blocks"], step["reused_blocks"]
    outputs = {
        "kv_cache_alloc_new_blocks": _scalar(blocks - reused),
        "kv_cache_reused_blocks": _scalar(reused),
        "kv_cache_alloc_total_blocks": _scalar(blocks),
        "acceptance_rate": np.zeros((1, 1), dtype=np.float32),
        "total_accepted_draft_tokens": _scalar(0),
        "total_draft_tokens": _scalar(0),
    }
    instants = zip(INSTANT_NAMES, step["instants"], strict=True)
    return outputs | {name: np.array([[instant]], dtype=np.int64) for name, instant in instants}


def _scalar(value: int) -> np.ndarray:
    return np.array([[value]], dtype=np.int32)
