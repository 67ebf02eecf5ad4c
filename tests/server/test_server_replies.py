"""What is sent for a row: shapes, counts, and only what was asked for."""

from typing import Any

import numpy as np
from generation import GenerationRequest
from replies import Reply, Wish, text_body, token_body, whole_so_far

REQUEST = GenerationRequest([5, 6, 7], 4, 0)
EVERYTHING = {"output_ids", "sequence_length", "num_output_tokens", "num_input_tokens", "batch_index", "text_output"}


def wish(**changed: Any) -> Wish:
    fields = {
        "outputs": EVERYTHING,
        "streaming": False,
        "exclude_input": False,
        "perf_metrics": False,
        "num_input_tokens": False,
        "num_output_tokens": False,
        "batch_index": None,
    }
    return Wish(**{**fields, **changed})


def step(tokens: list[int], finish: str | None = None) -> dict[str, Any]:
    return {"tokens": tokens, "finish": finish, "instants": [1, 2, 3, 4], "blocks": 5, "reused_blocks": 2}


def test_streaming_sends_each_step_alone_and_an_end_without_tokens() -> None:
    reply = Reply(wish(streaming=True, num_output_tokens=True), REQUEST, token_body)
    first, last = reply.after(step([9])), reply.after(step([], "end_id"))
    assert first is not None
    assert last is not None
    assert first["output_ids"].tolist() == [[[9]]]
    assert (last["output_ids"].shape, last["sequence_length"].tolist()) == ((1, 1, 0), [[0]])
    assert (first["num_output_tokens"].tolist(), last["num_output_tokens"].tolist()) == ([[1]], [[0]])


def test_accumulated_texts_grow_while_the_count_is_that_of_the_step() -> None:
    reply = Reply(wish(streaming=True, num_output_tokens=True), REQUEST, text_body(str), whole_so_far)
    first, last = reply.after(step([9])), reply.after(step([10], "length"))
    assert first is not None
    assert last is not None
    assert [outputs["text_output"].tolist() for outputs in (first, last)] == [[b"[9]"], [b"[9, 10]"]]
    assert [outputs["num_output_tokens"].tolist() for outputs in (first, last)] == [[[1]], [[1]]]


def test_without_streaming_the_prompt_is_in_front_and_counted() -> None:
    reply = Reply(wish(num_output_tokens=True, num_input_tokens=True), REQUEST, token_body)
    assert reply.after(step([9])) is None
    outputs = reply.after(step([10], "length"))
    assert outputs is not None
    assert outputs["output_ids"].tolist() == [[[5, 6, 7, 9, 10]]]
    assert (outputs["num_output_tokens"].tolist(), outputs["num_input_tokens"].tolist()) == ([[5]], [[3]])


def test_the_prompt_can_be_left_out() -> None:
    reply = Reply(wish(exclude_input=True, num_output_tokens=True), REQUEST, text_body(str))
    outputs = reply.after(step([9], "length"))
    assert outputs is not None
    assert outputs["text_output"].tolist() == [b"[9]"]
    assert outputs["num_output_tokens"].tolist() == [[1]]


def test_perf_metrics_come_as_int64_and_only_if_asked_for() -> None:
    names = {"arrival_time_ns", "kv_cache_reused_blocks", "kv_cache_alloc_new_blocks"}
    reply = Reply(wish(streaming=True, perf_metrics=True, outputs=names), REQUEST, token_body)
    outputs = reply.after(step([9]))
    assert outputs is not None
    assert outputs.keys() == names
    assert outputs["arrival_time_ns"].dtype == np.int64
    assert [int(outputs[n][0][0]) for n in sorted(names)] == [1, 3, 2]
    silent = Reply(wish(streaming=True), REQUEST, token_body).after(step([9]))
    assert silent is not None
    assert silent.keys() == {"output_ids", "sequence_length"}


def test_a_row_of_a_batch_says_which() -> None:
    outputs = Reply(wish(streaming=True, batch_index=1), REQUEST, token_body).after(step([9]))
    assert outputs is not None
    assert outputs["batch_index"].tolist() == [[1]]
