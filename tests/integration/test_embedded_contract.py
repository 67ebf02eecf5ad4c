"""The embedded target keeps the classic TensorRT-LLM contract: names, types, counts, flags, errors, cancels, metrics,
deaths.

A real tritonserver with the real engine. Expectations are written out from facts about TensorRT-LLM, not from our
templates. Timings are compared within a run, never with a number of seconds that a slow machine could miss.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

grpcclient = pytest.importorskip("tritonclient.grpc")
from embedded_client import Answer, Client, token_inputs  # noqa: E402
from embedded_server import (  # noqa: E402
    SETTINGS,
    EmbeddedServer,
    build_model,
    command_line,
    is_alive,
    server_python,
)

pytestmark = pytest.mark.integration

VOCABULARY, MAX_SEQ_LEN, MAX_BATCH = 4096, int(SETTINGS["max_seq_len"]), int(SETTINGS["max_batch_size"])
PROMPT = [17, 451, 902, 33, 2048, 77, 1200, 9]
LONG = 3000  # tokens that take seconds: longer than anything a test waits for after a cancel
PERF_OUTPUTS = {
    "kv_cache_alloc_new_blocks",
    "kv_cache_reused_blocks",
    "kv_cache_alloc_total_blocks",
    "arrival_time_ns",
    "first_scheduled_time_ns",
    "first_token_time_ns",
    "last_token_time_ns",
    "acceptance_rate",
    "total_accepted_draft_tokens",
    "total_draft_tokens",
}

# name:TYPE:dims, from trtllm.md §1.2 to §1.4; metadata shows dims behind the batch dimension.
COMMON_OUTPUTS = """
cum_log_probs:FP32:-1 output_log_probs:FP32:-1,-1 context_logits:FP32:-1,-1 generation_logits:FP32:-1,-1,-1
batch_index:INT32:1 sequence_index:INT32:1 kv_cache_alloc_new_blocks:INT32:1 kv_cache_reused_blocks:INT32:1
kv_cache_alloc_total_blocks:INT32:1 arrival_time_ns:INT64:1 first_scheduled_time_ns:INT64:1
first_token_time_ns:INT64:1 last_token_time_ns:INT64:1 acceptance_rate:FP32:1
total_accepted_draft_tokens:INT32:1 total_draft_tokens:INT32:1 num_input_tokens:INT32:1
num_output_tokens:INT32:1
"""
CONTRACT = {
    "ensemble": (
        """
        text_input:BYTES:1 max_tokens:INT32:1 decoder_text_input:BYTES:1 num_return_sequences:INT32:1
        bad_words:BYTES:-1 stop_words:BYTES:-1 exclude_input_in_output:BOOL:1 end_id:INT32:1
        pad_id:INT32:1 top_k:INT32:1 top_p:FP32:1 temperature:FP32:1 length_penalty:FP32:1
        repetition_penalty:FP32:1 presence_penalty:FP32:1 frequency_penalty:FP32:1 min_tokens:INT32:1
        seed:UINT64:1 return_log_probs:BOOL:1 return_context_logits:BOOL:1
        return_generation_logits:BOOL:1 return_perf_metrics:BOOL:1 return_num_input_tokens:BOOL:1
        return_num_output_tokens:BOOL:1 beam_width:INT32:1 stream:BOOL:1
        prompt_embedding_table:FP16:-1,-1 prompt_vocab_size:INT32:1 prompt_table_extra_id:UINT64:1
        embedding_bias_words:BYTES:-1 embedding_bias_weights:FP32:-1 lora_task_id:UINT64:1
        lora_weights:FP16:-1,-1 lora_config:INT32:-1,3 guided_decoding_guide_type:BYTES:1
        guided_decoding_guide:BYTES:1
        """,
        "text_output:BYTES:-1" + COMMON_OUTPUTS,
    ),
    "tensorrt_llm": (
        """
        input_ids:INT32:-1 input_lengths:INT32:1 request_output_len:INT32:1
        encoder_input_features:FP16:-1,-1 encoder_output_lengths:INT32:1 decoder_input_ids:INT32:-1
        decoder_input_lengths:INT32:1 cross_attention_mask:BOOL:-1,-1 skip_cross_attn_blocks:BOOL:1
        end_id:INT32:1 pad_id:INT32:1 stop_words_list:INT32:2,-1 bad_words_list:INT32:2,-1
        embedding_bias:FP32:-1 beam_width:INT32:1 num_return_sequences:INT32:1 temperature:FP32:1
        runtime_top_p:FP32:1 runtime_top_p_min:FP32:1 runtime_top_p_decay:FP32:1 len_penalty:FP32:1
        repetition_penalty:FP32:1 beam_search_diversity_rate:FP32:1 presence_penalty:FP32:1
        frequency_penalty:FP32:1 runtime_top_k:INT32:1 runtime_top_p_reset_ids:INT32:1
        min_tokens:INT32:1 early_stopping:BOOL:1 seed:UINT64:1 return_log_probs:BOOL:1
        return_context_logits:BOOL:1 return_generation_logits:BOOL:1 return_perf_metrics:BOOL:1
        return_num_input_tokens:BOOL:1 return_num_output_tokens:BOOL:1 exclude_input_in_output:BOOL:1
        stop:BOOL:1 streaming:BOOL:1 draft_input_ids:INT32:-1 draft_logits:FP32:-1,-1
        draft_acceptance_threshold:FP32:1 prompt_embedding_table:FP16:-1,-1
        prompt_table_extra_ids:UINT64:-1 prompt_vocab_size:INT32:1 mrope_rotary_cos_sin:FP32:-1
        mrope_position_deltas:INT64:1 lora_task_id:UINT64:1 lora_weights:FP16:-1,-1
        lora_config:INT32:-1,3 context_phase_params:UINT8:-1 retention_token_range_starts:INT32:-1
        retention_token_range_ends:INT32:-1 retention_token_range_priorities:INT32:-1
        retention_token_range_durations_ms:INT32:-1 retention_decode_priority:INT32:1
        retention_decode_duration_ms:INT32:1 guided_decoding_guide_type:BYTES:1
        guided_decoding_guide:BYTES:1 lookahead_window_size:INT32:1 lookahead_ngram_size:INT32:1
        lookahead_verification_set_size:INT32:1
        """,
        "output_ids:INT32:-1,-1 sequence_length:INT32:-1 context_phase_params:UINT8:-1" + COMMON_OUTPUTS,
    ),
}


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "m1"
    build_model(server_python(), out)
    return out


@pytest.fixture(scope="session")
def server(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(server_python(), tmp_path_factory.mktemp("server"), model_dir) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Client]:
    with Client(server.grpc_url) as streaming:
        yield streaming


# --- the contract of names -------------------------------------------------------------------------------------------


def as_declared(text: str) -> dict[str, tuple[str, list[int]]]:
    entries = (item.split(":") for item in text.split())
    return {name: (kind, [int(d) for d in dims.split(",")]) for name, kind, dims in entries}


@pytest.mark.parametrize("model", sorted(CONTRACT))
def test_metadata_has_every_tensor_of_tensorrt_llm_and_no_other(server: EmbeddedServer, model: str) -> None:
    metadata = grpcclient.InferenceServerClient(server.grpc_url).get_model_metadata(model)
    for declared, expected in zip((metadata.inputs, metadata.outputs), CONTRACT[model], strict=True):
        found = {tensor.name: (tensor.datatype, list(tensor.shape)[1:]) for tensor in declared}
        assert found == as_declared(expected)


# --- counts, flags, conditional outputs ------------------------------------------------------------------------------


def test_streaming_sends_one_token_per_response_and_the_final_flag_rides_on_the_last(client: Client) -> None:
    answer = client.tokens(PROMPT, 20)
    assert [array.shape for array in answer.arrays("output_ids")] == [(1, 1, 1)] * 20
    assert [int(array[0][0]) for array in answer.arrays("sequence_length")] == [1] * 20
    assert answer.finals == [False] * 19 + [True]


def test_without_streaming_there_is_one_response_with_the_prompt_in_front(client: Client) -> None:
    streamed = client.tokens(PROMPT, 12).tokens()
    whole = client.tokens(PROMPT, 12, streaming=False, return_num_output_tokens=True)
    assert whole.finals == [True]
    assert whole.tokens() == PROMPT + streamed
    assert whole.scalar("sequence_length") == whole.scalar("num_output_tokens") == len(PROMPT) + 12


def test_exclude_input_in_output_leaves_the_prompt_out_and_uncounted(client: Client) -> None:
    answer = client.tokens(PROMPT, 12, streaming=False, exclude_input_in_output=True, return_num_output_tokens=True)
    assert len(answer.tokens()) == answer.scalar("num_output_tokens") == 12


def test_conditional_outputs_are_absent_unless_asked_for(client: Client) -> None:
    assert client.tokens(PROMPT, 2).output_names() == {"output_ids", "sequence_length"}
    asked = {"return_perf_metrics": True, "return_num_input_tokens": True, "return_num_output_tokens": True}
    answer = client.tokens(PROMPT, 2, **asked)
    counts = {"num_input_tokens", "num_output_tokens"}
    assert answer.output_names() == {"output_ids", "sequence_length"} | counts | PERF_OUTPUTS
    assert answer.scalar("num_input_tokens") == len(PROMPT)
    assert [answer.scalar("num_output_tokens", i) for i in range(2)] == [1, 1]


def test_a_subset_of_outputs_is_sent_alone_but_must_hold_the_ids(client: Client) -> None:
    inputs = token_inputs(PROMPT, 2, return_perf_metrics=True)
    answer = client.ask("tensorrt_llm", outputs=["output_ids", "sequence_length", "arrival_time_ns"], **inputs)
    assert answer.output_names() == {"output_ids", "sequence_length", "arrival_time_ns"}
    refused = client.ask("tensorrt_llm", outputs=["output_ids"], **inputs)
    assert "sequence_length tensor must be present in list of output tensors" in str(refused.error)


def test_perf_timestamps_are_ordered_and_on_the_monotonic_clock(client: Client) -> None:
    before = time.monotonic_ns()
    answer = client.tokens(PROMPT, 8, return_perf_metrics=True)
    names = ("arrival_time_ns", "first_scheduled_time_ns", "first_token_time_ns", "last_token_time_ns")
    instants = [answer.scalar(name) for name in names]
    assert before <= instants[0] <= instants[1] < instants[2] < instants[3] <= time.monotonic_ns()


def test_the_text_model_answers_in_text_with_the_same_counts(client: Client) -> None:
    asked = {"return_num_input_tokens": True, "return_num_output_tokens": True, "exclude_input_in_output": True}
    streamed = client.ask("ensemble", text_input="What is a class?", max_tokens=9, end_id=-1, stream=True, **asked)
    assert streamed.finals == [False] * 8 + [True]
    assert [array.shape for array in streamed.arrays("text_output")] == [(1,)] * 9
    assert sum(streamed.scalar("num_output_tokens", i) for i in range(9)) == 9
    whole = client.ask("ensemble", text_input="What is a class?", max_tokens=9, end_id=-1, **asked)
    assert whole.finals == [True]
    assert whole.scalar("num_output_tokens") == 9
    assert whole.scalar("num_input_tokens") == streamed.scalar("num_input_tokens") > 0


def test_the_rows_of_a_batch_are_answered_apart_with_their_index(client: Client) -> None:
    two = np.array([PROMPT, PROMPT[::-1]], dtype=np.int32)
    column = np.array([[len(PROMPT)], [5]], dtype=np.int32)
    client.send(
        "tensorrt_llm",
        input_ids=two,
        input_lengths=column,
        request_output_len=np.array([[3], [7]], dtype=np.int32),
        streaming=np.array([[True], [True]]),
    )
    answer = client.collect()["r"]
    rows = [int(array[0][0]) for array in answer.arrays("batch_index")]
    assert (rows.count(0), rows.count(1)) == (3, 7)
    assert answer.finals == [False] * 9 + [True]


# --- how generation ends ---------------------------------------------------------------------------------------------


def test_end_id_ends_the_output_and_is_not_part_of_it(client: Client) -> None:
    free = client.tokens(PROMPT, 30).tokens()
    end_id = free[10]
    until = free.index(end_id)
    stopped = client.tokens(PROMPT, 30, end_id=end_id)
    assert stopped.tokens() == free[:until]
    assert stopped.finals[-1]


def test_min_tokens_holds_the_end_back(client: Client) -> None:
    free = client.tokens(PROMPT, 30).tokens()
    pinned = client.tokens(PROMPT, 30, end_id=free[3], min_tokens=30)
    assert len(pinned.tokens()) == 30


def test_stop_words_end_the_output_after_the_word(client: Client) -> None:
    free = client.tokens(PROMPT, 30).tokens()
    word = free[8:10]
    at = next(i for i in range(len(free)) if free[i : i + 2] == word)
    words = np.array([[word, [2, -1]]], dtype=np.int32)
    assert client.tokens(PROMPT, 30, stop_words_list=words).tokens() == free[: at + 2]


def test_the_same_seed_gives_the_same_tokens_and_no_sampling_is_greedy(client: Client) -> None:
    def sampled(seed: int) -> list[int]:
        return client.tokens(PROMPT, 20, runtime_top_k=50, seed=seed).tokens()

    assert sampled(1) == sampled(1) != sampled(2)
    greedy = client.tokens(PROMPT, 20).tokens()
    assert client.tokens(PROMPT, 20, runtime_top_k=1, seed=5, temperature=0.5).tokens() == greedy


def test_output_is_cut_silently_at_max_seq_len(client: Client) -> None:
    prompt = (PROMPT * MAX_SEQ_LEN)[: MAX_SEQ_LEN - 10]
    answer = client.tokens(prompt, 500)
    assert answer.error is None
    assert len(answer.tokens()) == 10


# --- the example clients of TensorRT-LLM -----------------------------------------------------------------------------


def cell(value: object, kind: type) -> np.ndarray:
    return np.array([[value]], dtype=kind)


def test_the_tensors_of_inflight_batcher_llm_client_work(client: Client) -> None:
    i32, f32 = np.int32, np.float32
    answer = client.ask(
        "tensorrt_llm",
        input_ids=np.array([PROMPT], dtype=i32),
        input_lengths=cell(len(PROMPT), i32),
        request_output_len=cell(16, i32),
        beam_width=cell(1, i32),
        temperature=cell(1.0, f32),
        streaming=cell(True, bool),
        end_id=cell(-1, i32),
        pad_id=cell(50256, i32),
        runtime_top_k=cell(1, i32),
        runtime_top_p=cell(0.0, f32),
        return_num_input_tokens=cell(True, bool),
        num_return_sequences=cell(1, i32),
        repetition_penalty=cell(1.0, f32),
        presence_penalty=cell(0.0, f32),
        frequency_penalty=cell(0.0, f32),
        return_perf_metrics=cell(True, bool),
    )
    assert answer.arrays("sequence_index") == [None] * 16
    assert [int(array[0][0]) for array in answer.arrays("sequence_length")] == [1] * 16
    assert len([token for array in answer.arrays("output_ids") for token in array[0][0]]) == 16


def test_the_tensors_of_end_to_end_grpc_client_work(client: Client) -> None:
    asked = ["text_output", *sorted(PERF_OUTPUTS)]
    answer = client.ask(
        "ensemble",
        outputs=asked,
        text_input=np.array([["Born in north-east France, Soyer trained as a"]]).astype(object),
        max_tokens=cell(16, np.int32),
        stream=cell(True, bool),
        beam_width=cell(1, np.int32),
        temperature=cell(1.0, np.float32),
        stop_words=np.array([["zzzzqqq"]], dtype=object),
        repetition_penalty=cell(1.0, np.float32),
        return_perf_metrics=cell(True, bool),
        end_id=cell(-1, np.int32),
        pad_id=cell(0, np.int32),
        exclude_input_in_output=cell(False, bool),
    )
    assert answer.error is None
    assert "".join(
        array[0].decode() for array in answer.arrays("text_output")
    )  # [0], not [0][0]: as the client reads it
    for name in PERF_OUTPUTS:  # on every response: the client reads them there
        assert all(array[0][0] >= 0 for array in answer.arrays(name))


def test_the_tensors_of_benchmark_core_model_work(client: Client) -> None:
    for number in range(10):
        client.send(
            "tensorrt_llm",
            request_id=str(number),
            input_ids=np.array([PROMPT], dtype=np.int32),
            input_lengths=cell(len(PROMPT), np.int32),
            request_output_len=cell(20, np.int32),
            pad_id=cell(0, np.int32),
            end_id=cell(1, np.int32),
        )
    for answer in client.collect().values():
        assert answer.finals == [True]
        assert answer.arrays("output_ids")[0].shape[2] <= len(PROMPT) + 20


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "inputs", "pattern"),
    [
        (
            "tensorrt_llm",
            token_inputs([5] * MAX_SEQ_LEN, 5),
            r"Executor failed process requestId \d+ due to the following error: Encountered an error in executor: "
            rf"Prompt length \({MAX_SEQ_LEN}\) exceeds maximum input length \({MAX_SEQ_LEN - 1}\)\. Set log level to "
            r"info and check TRTGptModel logs for how maximum input length is set",
        ),
        ("tensorrt_llm", {"input_ids": PROMPT, "input_lengths": 8}, "request_output_len is not present in the request"),
        (
            "tensorrt_llm",
            token_inputs(PROMPT, 5, end_id=VOCABULARY),
            r"EndId \(4096\) is not within acceptable range \[-1, 4096\)",
        ),
        ("tensorrt_llm", token_inputs([1, VOCABULARY], 5), "input_ids holds a token id outside"),
        ("tensorrt_llm", token_inputs(PROMPT, 5, beam_width=4), "beam_width"),
        ("tensorrt_llm", token_inputs(PROMPT, 5, return_log_probs=True), "return_log_probs"),
        (
            "tensorrt_llm",
            token_inputs(PROMPT, 5, stop=True) | {"request_id": ""},
            "Trying to stop a request but request ID is not provided",
        ),
        ("ensemble", {"text_input": "a", "max_tokens": 0}, "max_tokens must be a single value > 0"),
        ("ensemble", {"text_input": "", "max_tokens": 4}, "input_ids is empty"),
        ("ensemble", {"text_input": "a", "max_tokens": 4, "bad_words": ["no"]}, "bad_words"),
    ],
)
def test_a_bad_request_is_refused_in_the_words_of_tensorrt_llm(
    client: Client, model: str, inputs: dict[str, object], pattern: str
) -> None:
    client.send(model, **inputs)  # type: ignore[arg-type]
    (answer,) = client.collect().values()
    assert re.search(pattern, str(answer.error)), answer.error
    assert answer.responses == []


def test_neutral_values_of_everything_unsupported_are_accepted(client: Client) -> None:
    neutral = {
        "beam_width": 1,
        "num_return_sequences": 1,
        "return_log_probs": False,
        "return_context_logits": False,
        "return_generation_logits": False,
        "pad_id": 50256,
        "end_id": -1,
        "temperature": 1.0,
        "runtime_top_k": 1,
        "runtime_top_p": 0.0,
        "len_penalty": 1.0,
        "repetition_penalty": 1.0,
        "runtime_top_p_decay": 1.0,
    }
    assert len(client.tokens(PROMPT, 5, **neutral).tokens()) == 5


def test_refused_settings_stop_the_server_with_the_reason_in_its_log(model_dir: Path, tmp_path: Path) -> None:
    reason = r"maxTokensInPagedKvCache \(1024\) must be large enough to process at least 1 sequence"
    small = EmbeddedServer(server_python(), tmp_path, model_dir, settings={"max_tokens_in_paged_kv_cache": "1024"})
    with pytest.raises(RuntimeError, match="did not get ready"), small:
        pass
    log = small.log.read_text()
    for model in ("ensemble", "tensorrt_llm"):
        assert re.search(rf"failed to load '{model}' version 1: .*{reason}", log), log[-4000:]
    assert small.process.poll() is not None


# --- one engine: batching, queueing, token flow ----------------------------------------------------------------------


def load(server: EmbeddedServer, concurrency: int, rounds: int = 3, tokens: int = 40) -> tuple[float, float, float]:
    """Closed loop: tokens per second, median TTFT, median gap."""
    with Client(server.grpc_url) as client:
        started, total = 0, concurrency * rounds
        begun = time.perf_counter()

        def start() -> None:
            nonlocal started
            prompt = [(7 * started + 13 * i) % 4000 + 3 for i in range(16)]
            client.send("tensorrt_llm", request_id=f"r{started}", **token_inputs(prompt, tokens))
            started += 1

        for _ in range(concurrency):
            start()
        ended = 0
        while ended < total:
            answer = client.answers[client.next()]
            assert answer.error is None
            if answer.ended_s:
                ended += 1
                if started < total:
                    start()
        elapsed = time.perf_counter() - begun
        answers = list(client.answers.values())[concurrency:]  # without the first round, which starts all at once
        first = statistics.median(answer.instants_s[0] - answer.sent_s for answer in answers)
        gap = statistics.median(b - a for answer in answers for a, b in pairwise(answer.instants_s))
        return total * tokens / elapsed, first, gap


def test_throughput_rises_with_concurrency_and_beyond_the_batch_only_the_wait_grows(server: EmbeddedServer) -> None:
    load(server, MAX_BATCH)  # warm up
    one, full, beyond = load(server, 1, rounds=6), load(server, MAX_BATCH), load(server, 2 * MAX_BATCH)
    assert full[0] > 1.2 * one[0], "no batching"
    assert beyond[1] > 3 * full[1], "no queueing beyond max_batch_size"
    assert beyond[2] < 2 * full[2], "the wait leaked into the gaps"
    assert beyond[0] > 0.6 * full[0]


def test_both_models_share_one_engine_and_its_limit(server: EmbeddedServer, client: Client) -> None:
    for number in range(MAX_BATCH):
        client.send("tensorrt_llm", request_id=f"t{number}", **token_inputs(PROMPT, LONG))
    while not all(answer.responses for answer in client.answers.values()):
        client.next()
    with Client(server.grpc_url) as other:
        other.send("ensemble", text_input="a class", max_tokens=5, end_id=-1, stream=True)
        wait_for(lambda: gauge(server, "request_metrics", "waiting") >= 1)
        assert gauge(server, "request_metrics", "active") == MAX_BATCH + 1
        assert other.answers["r"].responses == []
        client.cancel()
        assert other.collect()["r"].error is None


def test_tokens_leave_as_they_are_made_and_not_in_bunches(server: EmbeddedServer) -> None:
    shares = []
    for _ in range(3):  # another process on the machine can bunch what we sent apart; the best of three is ours
        gaps = raw_gaps(server, streams=MAX_BATCH, tokens=100)
        typical = statistics.median(gaps)
        shares.append(sum(gap < typical / 10 for gap in gaps) / len(gaps))
        if shares[-1] < 0.02:
            return
    raise AssertionError(f"share of gaps under a tenth of the step: {shares}")


def raw_gaps(server: EmbeddedServer, streams: int, tokens: int) -> list[float]:
    """Gaps between server-sent events, stamped at the socket without a client library."""
    connections = [open_stream(server, tokens) for _ in range(streams)]
    instants: dict[socket.socket, list[float]] = {connection: [] for connection in connections}
    received = dict.fromkeys(connections, b"")
    import selectors

    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection, selectors.EVENT_READ)
    while selector.get_map():
        for key, _ in selector.select(10):
            connection = key.fileobj
            data, now = connection.recv(1 << 16), time.perf_counter()  # type: ignore[union-attr]
            received[connection] += data
            events = received[connection].count(b"data: ")
            instants[connection] += [now] * (events - len(instants[connection]))
            if received[connection].endswith(b"0\r\n\r\n") or not data:
                selector.unregister(connection)
                connection.close()  # type: ignore[union-attr]
    assert all(len(times) == tokens for times in instants.values())
    return [b - a for times in instants.values() for a, b in pairwise(times)]


def open_stream(server: EmbeddedServer, tokens: int) -> socket.socket:
    """A raw HTTP generate_stream request."""
    body = json.dumps({"input_ids": PROMPT, "input_lengths": 8, "request_output_len": tokens, "streaming": True})
    head = (
        "POST /v2/models/tensorrt_llm/generate_stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", server.http_port))
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection


# --- cancels ---------------------------------------------------------------------------------------------------------


def gauge(server: EmbeddedServer, family: str, value: str) -> float:
    pattern = rf'^nv_trt_llm_{family}{{[^}}]*"{value}"[^}}]*}} (\S+)$'
    found = re.search(pattern, server.metrics(), re.MULTILINE)
    assert found, f"{family} {value} is not on the metrics page"
    return float(found[1])


def wait_for(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def active(server: EmbeddedServer) -> float:
    return gauge(server, "request_metrics", "active")


def test_a_grpc_cancel_frees_running_and_waiting_requests(server: EmbeddedServer, client: Client) -> None:
    for number in range(MAX_BATCH + 2):
        client.send("tensorrt_llm", request_id=f"r{number}", **token_inputs(PROMPT, LONG))
    wait_for(lambda: active(server) == MAX_BATCH + 2)
    client.cancel()
    wait_for(lambda: active(server) == 0)
    assert gauge(server, "kv_cache_block_metrics", "used") == 0


def test_a_grpc_cancel_reaches_the_engine_through_the_text_model(server: EmbeddedServer, client: Client) -> None:
    client.send("ensemble", text_input="a class", max_tokens=LONG, end_id=-1, stream=True)
    wait_for(lambda: active(server) == 1)
    client.cancel()
    wait_for(lambda: active(server) == 0)


def test_a_closed_http_connection_frees_the_request(server: EmbeddedServer) -> None:
    connection = open_stream(server, LONG)
    wait_for(lambda: active(server) == 1)
    connection.close()
    wait_for(lambda: active(server) == 0)


def test_stop_by_request_id_ends_that_request_and_is_answered_empty(server: EmbeddedServer, client: Client) -> None:
    client.send("tensorrt_llm", request_id="goes-on", **token_inputs(PROMPT, 200))
    client.send("tensorrt_llm", request_id="stopped", **token_inputs(PROMPT, LONG))
    while not client.answers["stopped"].responses:
        client.next()
    with Client(server.grpc_url) as other:
        asked_s = time.perf_counter()
        other.send("tensorrt_llm", request_id="stopped", **token_inputs([0], 0, stop=True))
        reply = other.collect()["stopped"]
    assert reply.error is None
    assert reply.output_names() == set()
    answers = client.collect()
    assert len(answers["goes-on"].tokens()) == 200
    assert 0 < len(answers["stopped"].tokens()) < LONG
    assert answers["stopped"].finals[-1]
    assert answers["stopped"].ended_s - asked_s < 2


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_the_metric_families_have_the_labels_of_tensorrt_llm(server: EmbeddedServer, client: Client) -> None:
    client.tokens(PROMPT, 5)
    expected = {
        ("request_metrics", "request_type"): "active max scheduled context waiting",
        ("runtime_memory_metrics", "memory_type"): "cpu gpu pinned",
        ("kv_cache_block_metrics", "kv_cache_block_type"): "max free used tokens_per fraction reused",
        ("inflight_batcher_metrics", "inflight_batcher_specific_metric"): "total_context_tokens generation_requests "
        "micro_batch_id paused_requests",
        ("general_metrics", "general_type"): "timestamp iteration_counter",
    }
    page = server.metrics()
    for (family, label), values in expected.items():
        lines = re.findall(rf"^nv_trt_llm_{family}{{(.*)}} \S+$", page, re.MULTILINE)
        assert all('model="tensorrt_llm"' in line and 'version="1"' in line for line in lines)
        assert {re.search(rf'{label}="(\w+)"', line)[1] for line in lines} == set(values.split())  # type: ignore[index]
    assert gauge(server, "request_metrics", "max") == MAX_BATCH
    assert gauge(server, "runtime_memory_metrics", "cpu") > 10_000_000


# --- deaths ----------------------------------------------------------------------------------------------------------


def own_server(model_dir: Path, folder: Path, **environment: str) -> EmbeddedServer:
    return EmbeddedServer(server_python(), folder, model_dir, environment=environment)


def assert_all_clients_hear(server: EmbeddedServer, pattern: str, kill: object = None) -> None:
    """Two waiting clients and a later one get the cause; nobody hangs."""
    with Client(server.grpc_url) as tokens, Client(server.grpc_url) as text:
        tokens.send("tensorrt_llm", **token_inputs(PROMPT, LONG))
        text.send("ensemble", text_input="a class", max_tokens=LONG, end_id=-1, stream=True)
        if kill is not None:
            for client in (tokens, text):
                client.next()
            kill()  # type: ignore[operator]
        for client in (tokens, text):
            assert_ends_with(client.collect(wait_s=10)["r"], pattern)
        for model, inputs in (
            ("tensorrt_llm", token_inputs(PROMPT, 5)),
            ("ensemble", {"text_input": "a", "max_tokens": 2}),
        ):
            assert_ends_with(tokens.ask(model, **inputs), pattern)  # type: ignore[arg-type]


def assert_ends_with(answer: Answer, pattern: str) -> None:
    assert re.search(pattern, str(answer.error)), answer.error


def test_an_exception_in_the_engine_loop_reaches_every_client(model_dir: Path, tmp_path: Path) -> None:
    with own_server(model_dir, tmp_path, ENGINE_FAULT="raise_after:20") as server:
        assert_all_clients_hear(server, "engine process has ended: FaultOnPurpose: fault injected")


def test_a_killed_engine_reaches_every_client(model_dir: Path, tmp_path: Path) -> None:
    with own_server(model_dir, tmp_path) as server:
        engine = server.engine_pid()
        assert_all_clients_hear(server, "engine process has ended: ", lambda: os.kill(engine, signal.SIGKILL))


def test_a_killed_server_leaves_no_process_behind(model_dir: Path, tmp_path: Path) -> None:
    with own_server(model_dir, tmp_path) as server:
        family = server.descendants()
        assert len(family) == 5, [command_line(pid) for pid in family]
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not any(is_alive(pid) for pid in family), seconds=10)


def test_a_server_whose_clients_left_in_the_middle_stops_cleanly(model_dir: Path, tmp_path: Path) -> None:
    # Not with the stream still open: tritonserver waits for open gRPC streams beyond its own exit timeout (README).
    with own_server(model_dir, tmp_path) as server:
        with Client(server.grpc_url) as client:
            client.send("tensorrt_llm", **token_inputs(PROMPT, LONG))
            client.next()
        family = server.descendants()
        assert server.stop() == 0
        wait_for(lambda: not any(is_alive(pid) for pid in family))
