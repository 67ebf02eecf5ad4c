"""The embedded target's other contracts on a real tritonserver: `tensorrt_llm_bls`, the LLM-API model, a full queue.

Expectations are written out from facts about TensorRT-LLM, not from our templates; where a text is ours, the test says
so. What all models share (tokens, sampling, cancels by connection, deaths) is tested in test_embedded_contract.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

grpcclient = pytest.importorskip("tritonclient.grpc")
from embedded_client import Answer, Client, token_inputs  # noqa: E402
from embedded_server import EmbeddedServer, build_model, server_python  # noqa: E402
from test_embedded_contract import CONTRACT, PROMPT, as_declared  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LONG = 3000
MAX_BATCH, MAX_QUEUE = 2, 3

BLS_INPUTS = (
    CONTRACT["ensemble"][0]
    + """
    num_draft_tokens:INT32:1 use_draft_logits:BOOL:1 image_input:FP16:-1,3,-1,-1 image_bytes_input:UINT8:-1,-1,-1,-1
    image_url_input:BYTES:1 video_bytes_input:UINT8:-1,-1,-1,-1
    """
)
LLMAPI_INPUTS = """
text_input:BYTES:-1 streaming:BOOL:1 sampling_param_max_tokens:INT32:1 sampling_param_top_k:INT32:1
sampling_param_best_of:INT32:1 sampling_param_temperature:FP32:1 sampling_param_top_p:FP32:1
sampling_param_frequency_penalty:FP32:1 sampling_param_presence_penalty:FP32:1 sampling_param_stop:BYTES:-1
sampling_param_seed:UINT64:1 sampling_param_exclude_input_from_output:BOOL:1 sampling_param_return_perf_metrics:BOOL:1
return_finish_reason:BOOL:1 return_stop_reason:BOOL:1 return_cumulative_logprob:BOOL:1 stop:BOOL:1
"""
LLMAPI_INTEGERS = """
kv_cache_reused_block kv_cache_missed_block kv_cache_alloc_new_blocks kv_cache_alloc_total_blocks
total_accepted_draft_tokens total_draft_tokens arrival_time_ns first_scheduled_time_ns first_token_time_ns
last_token_time_ns
"""
LLMAPI_OUTPUTS = """
text_output:BYTES:-1 finish_reason:BYTES:-1 stop_reason:BYTES:-1 cumulative_logprob:FP32:-1
kv_cache_reused_block:INT32:-1 kv_cache_missed_block:INT32:-1 kv_cache_alloc_new_blocks:INT32:-1
kv_cache_alloc_total_blocks:INT32:-1 kv_cache_hit_rate:FP32:-1 arrival_time_ns:INT64:1
first_scheduled_time_ns:INT64:1 first_token_time_ns:INT64:1 last_token_time_ns:INT64:1 acceptance_rate:FP32:1
total_accepted_draft_tokens:INT32:1 total_draft_tokens:INT32:1
"""


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "m1"
    build_model(server_python(), out)
    return out


def running(model_dir: Path, folders: pytest.TempPathFactory, templates: str, **settings: str) -> EmbeddedServer:
    limits = {"max_batch_size": str(MAX_BATCH), **settings}
    return EmbeddedServer(server_python(), folders.mktemp("server"), model_dir, settings=limits, templates=templates)


@pytest.fixture(scope="module")
def classic(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with running(model_dir, tmp_path_factory, "cpu", max_queue_size=str(MAX_QUEUE)) as server:
        yield server


@pytest.fixture(scope="module")
def accumulating(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with running(model_dir, tmp_path_factory, "cpu", accumulate_tokens="true") as server:
        yield server


@pytest.fixture(scope="module")
def llmapi(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with running(model_dir, tmp_path_factory, "cpu-llmapi") as server:
        yield server


def assert_declares(server: EmbeddedServer, model: str, inputs: str, outputs: str, batch: list[int]) -> None:
    """The model's metadata has exactly these tensors, with the batch dimension in front of the dims."""
    metadata = grpcclient.InferenceServerClient(server.grpc_url).get_model_metadata(model)
    for declared, expected in ((metadata.inputs, inputs), (metadata.outputs, outputs)):
        found = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in declared}
        assert found == {name: (kind, batch + dims) for name, (kind, dims) in as_declared(expected).items()}


def ask(server: EmbeddedServer, model: str, **inputs: Any) -> Answer:
    with Client(server.grpc_url) as client:
        return client.ask(model, **inputs)


def texts(answer: Answer) -> list[str]:
    """text_output of each response that has one."""
    arrays = [array for array in answer.arrays("text_output") if array is not None]
    return [array.reshape(-1)[0].decode() for array in arrays]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def gauge(server: EmbeddedServer, value: str) -> float:
    found = re.search(rf'^nv_trt_llm_request_metrics{{[^}}]*"{value}"[^}}]*}} (\S+)$', server.metrics(), re.MULTILINE)
    assert found
    return float(found[1])


# --- tensorrt_llm_bls ------------------------------------------------------------------------------------------------

BLS_REQUEST = {"text_input": "a class", "max_tokens": 6, "end_id": -1, "stream": True}


def test_bls_declares_the_tensors_of_the_ensemble_and_drafts_and_images(classic: EmbeddedServer) -> None:
    assert_declares(classic, "tensorrt_llm_bls", BLS_INPUTS, CONTRACT["ensemble"][1], [-1])


def test_bls_streams_pieces_and_then_a_final_flag_alone(classic: EmbeddedServer) -> None:
    answer = ask(classic, "tensorrt_llm_bls", **BLS_REQUEST, return_num_output_tokens=True)
    assert answer.finals == [False] * 6 + [True]
    assert answer.output_names() == set()
    assert [answer.scalar("num_output_tokens", index) for index in range(6)] == [1] * 6
    assert texts(answer) == texts(ask(classic, "ensemble", **BLS_REQUEST))


def test_bls_without_streaming_answers_once_before_the_flag(classic: EmbeddedServer) -> None:
    answer = ask(classic, "tensorrt_llm_bls", **{**BLS_REQUEST, "stream": False})
    assert answer.finals == [False, True]
    assert texts(answer)[0].startswith("a class")


def test_accumulating_bls_repeats_the_whole_text_while_the_counts_stay_those_of_the_step(
    classic: EmbeddedServer, accumulating: EmbeddedServer
) -> None:
    answer = ask(accumulating, "tensorrt_llm_bls", **BLS_REQUEST, return_num_output_tokens=True)
    assert answer.finals == [False] * 6 + [True]
    said = texts(answer)
    assert all(later.startswith(earlier) for earlier, later in pairwise(said)), said
    assert [answer.scalar("num_output_tokens", index) for index in range(6)] == [1] * 6
    whole = ask(classic, "ensemble", **{**BLS_REQUEST, "stream": False, "exclude_input_in_output": True})
    assert said[-1] == texts(whole)[0]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"max_tokens": 0}, "max_tokens must be a single value > 0"),
        ({"text_input": "class " * 5000}, r"Prompt length \(\d+\) exceeds maximum input length \(4095\)"),
        ({"num_draft_tokens": 3}, "input 'num_draft_tokens' asks for something this engine cannot do"),
        ({"image_url_input": np.array([[b"http://x"]], object)}, "input 'image_url_input' asks for"),
        ({"image_bytes_input": np.zeros((1, 1, 2, 2, 3), np.uint8)}, "input 'image_bytes_input' asks for"),
    ],
)
def test_bls_words_every_error_as_a_traceback_and_flags_the_end_apart(
    classic: EmbeddedServer, wrong: dict[str, Any], reason: str
) -> None:
    with Client(classic.grpc_url) as client:
        answer = client.ask("tensorrt_llm_bls", **{**BLS_REQUEST, **wrong})
        assert re.search(rf"Traceback \(most recent call last\):\n(.*\n)+.*{reason}", str(answer.error)), answer.error
        client.next()  # the flag
        assert answer.finals == [True]
        assert answer.output_names() == set()


def test_neutral_drafts_are_accepted(classic: EmbeddedServer) -> None:
    answer = ask(classic, "tensorrt_llm_bls", **BLS_REQUEST, num_draft_tokens=0, use_draft_logits=False)
    assert answer.error is None


def test_a_cancel_reaches_the_engine_through_bls_and_the_server_stops_cleanly_after_it(
    model_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running(model_dir, tmp_path_factory, "cpu") as server:
        with Client(server.grpc_url) as client:
            client.send("tensorrt_llm_bls", **{**BLS_REQUEST, "max_tokens": LONG})
            client.next()
            client.cancel()
        wait_for(lambda: gauge(server, "active") == 0)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 5, "it ran into its exit timeout: the unload hangs"


# --- a full queue ----------------------------------------------------------------------------------------------------


def test_a_full_queue_rejects_and_takes_requests_again_when_it_has_room(classic: EmbeddedServer) -> None:
    with Client(classic.grpc_url) as client, Client(classic.grpc_url) as late:
        for number in range(MAX_BATCH + MAX_QUEUE):  # all at once: who can run at once must not count as waiting
            client.send("tensorrt_llm", request_id=f"r{number}", **token_inputs(PROMPT, LONG))
        wait_for(lambda: gauge(classic, "waiting") == MAX_QUEUE)
        rejected = late.ask("ensemble", text_input="a class", max_tokens=2)
        assert "the queue is full: max_queue_size (3) requests are waiting" in str(rejected.error)  # the text is ours
        assert "Executor failed process requestId" in str(rejected.error)
        assert all(answer.error is None for answer in client.answers.values())
        client.cancel()
        wait_for(lambda: gauge(classic, "active") == 0)
        assert late.ask("ensemble", text_input="a class", max_tokens=2).error is None


# --- the LLM-API model -----------------------------------------------------------------------------------------------


def flat(prompt: str = "a class", max_tokens: int = 12, **more: Any) -> dict[str, Any]:
    """Inputs without a batch dimension."""
    arrays: dict[str, Any] = {
        "text_input": np.array([prompt.encode()], dtype=object),
        "streaming": np.array([more.pop("streaming", True)]),
        "sampling_param_max_tokens": np.array([max_tokens], dtype=np.int32),
    }
    return arrays | {
        name: value if isinstance(value, np.ndarray) else np.array([value]) for name, value in more.items()
    }


def said(answer: Answer, name: str, response: int = -1) -> str:
    return str(answer.responses[response].as_numpy(name).reshape(-1)[0].decode())


def test_the_llm_api_repository_has_one_model_with_its_tensors_and_no_batch(llmapi: EmbeddedServer) -> None:
    assert_declares(llmapi, "tensorrt_llm", LLMAPI_INPUTS, LLMAPI_OUTPUTS, [])
    index = grpcclient.InferenceServerClient(llmapi.grpc_url).get_model_repository_index(as_json=True)
    assert [entry["name"] for entry in index["models"]] == ["tensorrt_llm"]


def test_the_llm_api_streams_the_whole_text_so_far_and_the_flag_rides_on_the_last(llmapi: EmbeddedServer) -> None:
    answer = ask(llmapi, "tensorrt_llm", **flat(return_finish_reason=True, return_stop_reason=True))
    assert answer.error is None
    assert answer.finals == [False] * (len(answer.finals) - 1) + [True]
    whole = texts(answer)
    assert len(whole) > 2
    assert all(later.startswith(earlier.rstrip("\ufffd")) for earlier, later in pairwise(whole))
    assert not whole[-1].startswith("a class")
    assert said(answer, "finish_reason", 0) == "None"
    assert said(answer, "finish_reason") == ("length" if len(whole) == 12 else "stop")
    assert said(answer, "stop_reason") == "None"
    once = ask(llmapi, "tensorrt_llm", **flat(streaming=False))
    assert (once.finals, texts(once)) == ([True], [whole[-1]])


def test_optional_outputs_are_absent_unless_asked_for(llmapi: EmbeddedServer) -> None:
    assert ask(llmapi, "tensorrt_llm", **flat()).output_names() == {"text_output"}


def test_perf_numbers_come_as_text_although_they_are_declared_as_numbers(llmapi: EmbeddedServer) -> None:
    answer = ask(llmapi, "tensorrt_llm", **flat(sampling_param_return_perf_metrics=True))
    kinds = {output.name: output.datatype for output in answer.responses[-1].get_response().outputs}
    assert set(kinds.values()) == {"BYTES"}
    assert kinds.keys() == {"text_output", "kv_cache_hit_rate", "acceptance_rate", *LLMAPI_INTEGERS.split()}
    assert all(said(answer, name).isdigit() for name in LLMAPI_INTEGERS.split())
    instants = [
        int(said(answer, f"{name}_time_ns")) for name in ("arrival", "first_scheduled", "first_token", "last_token")
    ]
    assert instants == sorted(instants)


def test_generate_over_http_shows_the_numbers_as_json_strings(llmapi: EmbeddedServer) -> None:
    body = {"text_input": "a class", "sampling_param_max_tokens": 3, "sampling_param_return_perf_metrics": True}
    request = urllib.request.Request(llmapi.http("/v2/models/tensorrt_llm/generate"), json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)
    assert isinstance(answer["text_output"], str)
    assert answer["kv_cache_alloc_total_blocks"] == "1"
    assert re.fullmatch(r"\d+", answer["arrival_time_ns"])


def test_a_stop_string_ends_the_text_before_it_and_is_the_stop_reason(llmapi: EmbeddedServer) -> None:
    ids = ask(llmapi, "tensorrt_llm", **flat(max_tokens=8))
    pieces = texts(ids)
    word = pieces[2][len(pieces[1]) :]
    stop = np.array([word.encode()], dtype=object)
    answer = ask(
        llmapi,
        "tensorrt_llm",
        **flat(max_tokens=8, sampling_param_stop=stop, return_finish_reason=True, return_stop_reason=True),
    )
    assert said(answer, "finish_reason") == "stop"
    assert said(answer, "stop_reason") == word
    assert pieces[2].startswith(texts(answer)[-1] + word)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"max_tokens": 0}, "max_tokens must be greater than 0, got 0"),
        ({"prompt": "class " * 5000}, r"Prompt length \(\d+\) exceeds maximum input length \(4095\)"),
        ({"sampling_param_best_of": np.array([2], np.int32)}, "input 'sampling_param_best_of' asks for"),
        ({"return_cumulative_logprob": True}, "input 'return_cumulative_logprob' asks for"),
    ],
)
def test_the_llm_api_s_errors_begin_as_its_model_words_them(
    llmapi: EmbeddedServer, wrong: dict[str, Any], reason: str
) -> None:
    answer = ask(llmapi, "tensorrt_llm", **flat(**wrong))
    assert re.search(f"Error generating request: .*{reason}", str(answer.error)), answer.error
    assert answer.responses == []


def test_stop_is_answered_as_cancelled_and_ends_the_request_of_that_id(llmapi: EmbeddedServer) -> None:
    with Client(llmapi.grpc_url) as client, Client(llmapi.grpc_url) as other:
        # Greedy: with these weights and this prompt the end token does not come early.
        client.send("tensorrt_llm", request_id="mine", **flat(max_tokens=LONG, return_finish_reason=True))
        client.next()
        other.send("tensorrt_llm", request_id="mine", **flat(stop=True))
        assert "Request cancelled by client" in str(other.collect()["mine"].error)
        answer = client.collect()["mine"]
        assert answer.error is None
        assert said(answer, "finish_reason") == "cancelled"


def test_a_stop_without_an_id_is_told_so(llmapi: EmbeddedServer) -> None:
    with Client(llmapi.grpc_url) as client:
        client.send("tensorrt_llm", request_id="", **flat(stop=True))
        assert "A request id must be provided for request cancellation" in str(client.collect()[""].error)


def test_the_llm_api_has_no_metric_families_of_its_own(llmapi: EmbeddedServer) -> None:
    ask(llmapi, "tensorrt_llm", **flat())
    page = llmapi.metrics()
    assert "nv_inference_request_success" in page
    assert "nv_trt_llm" not in page
