"""The truth server as a process, asked by clients that are not ours: tritonclient, grpcio, and raw frames.

Instants are compared with each other only: a client cannot have a chunk before the server handed it over.
"""

from __future__ import annotations

import itertools
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import certificates
import grpc
import hpack
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harness.errors import TargetNotReady
from harness.truth import frames, process
from harness.truth.behaviour import Behaviour
from harness.truth.process import TruthProcess
from harness.truth.sent_log import Outcome, SentRequest, read_log
from harness.truth.server import TruthServer

pytestmark = pytest.mark.integration

WAIT_S = 30.0
MS = 1_000_000
DEFAULTS = Behaviour()
_KINDS = {"BYTES": object, "INT32": np.int32, "BOOL": bool}


@dataclass(frozen=True)
class Received:
    """One response as a client got it."""

    at_ns: int
    response: triton.InferResult | None
    error: triton.InferenceServerException | None

    def number(self, name: str) -> int:
        assert self.response is not None
        return int(self.response.as_numpy(name).item())

    @property
    def is_final(self) -> bool:
        assert self.response is not None
        return bool(self.response.get_response().parameters["triton_final_response"].bool_param)


def tensors(inputs: dict[str, tuple[str, object]]) -> list[triton.InferInput]:
    built = []
    for name, (datatype, value) in inputs.items():
        array = np.array([value], dtype=_KINDS[datatype])
        tensor = triton.InferInput(name, array.shape, datatype)
        tensor.set_data_from_numpy(array)
        built.append(tensor)
    return built


def text_inputs(tokens: int, stream: bool = True) -> list[triton.InferInput]:
    flags = {name: ("BOOL", [True]) for name in ("return_num_input_tokens", "return_num_output_tokens")}
    text = {"text_input": ("BYTES", [b"five words make a prompt"]), "max_tokens": ("INT32", [tokens])}
    return tensors({**text, "stream": ("BOOL", [stream]), **flags})


def id_inputs(tokens: int) -> list[triton.InferInput]:
    prompt = {"input_ids": ("INT32", [11, 12, 13]), "input_lengths": ("INT32", [3])}
    return tensors({**prompt, "request_output_len": ("INT32", [tokens]), "streaming": ("BOOL", [True])})


class Stream:
    """tritonclient's stream, its callbacks collected."""

    def __init__(self, client: triton.InferenceServerClient) -> None:
        self._client = client
        self._received: queue.Queue[Received] = queue.Queue()
        client.start_stream(lambda result, error: self._received.put(Received(time.perf_counter_ns(), result, error)))

    def ask(self, request_id: str, inputs: list[triton.InferInput], model: str = "ensemble", **options: object) -> None:
        self._client.async_stream_infer(model, inputs, request_id=request_id, **options)

    def take(self, count: int) -> list[Received]:
        return [self._received.get(timeout=WAIT_S) for _ in range(count)]

    @property
    def is_silent(self) -> bool:
        return self._received.empty()


@contextmanager
def connected(truth: TruthProcess, **options: object) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(truth.address, **options) as client:
        yield client


@contextmanager
def served(folder: Path, behaviour: Behaviour = DEFAULTS) -> Iterator[TruthProcess]:
    with process.start(behaviour, folder / "sent.jsonl") as truth:
        yield truth


def stream_call(channel: grpc.Channel, request_id: str, tokens: int) -> Iterator[service_pb2.ModelStreamInferResponse]:
    """One request on an HTTP/2 stream of its own, through grpcio."""
    message = service_pb2.ModelInferRequest(model_name="ensemble", id=request_id)
    for tensor in text_inputs(tokens):
        message.inputs.append(tensor._get_tensor())
        message.raw_input_contents.append(tensor._get_content())
    call: Iterator[service_pb2.ModelStreamInferResponse] = service_pb2_grpc.GRPCInferenceServiceStub(
        channel
    ).ModelStreamInfer(iter([message]), timeout=WAIT_S)
    return call


def test_tritonclient_learns_everything_about_the_server(tmp_path: Path) -> None:
    with served(tmp_path) as truth, connected(truth) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("ensemble")
        assert not client.is_model_ready("gpt")
        assert "statistics" in client.get_server_metadata().extensions
        assert [row.name for row in client.get_model_repository_index().models] == ["ensemble", "tensorrt_llm"]
        names = [tensor.name for tensor in client.get_model_metadata("tensorrt_llm").inputs]
        assert names[:3] == ["input_ids", "input_lengths", "request_output_len"]
        assert client.get_model_config("ensemble").config.model_transaction_policy.decoupled


def test_text_tokens_arrive_one_by_one_with_exact_counts_and_the_log_agrees(tmp_path: Path) -> None:
    behaviour = Behaviour(time_to_first_token_s=0.02, inter_token_s=0.005)
    with served(tmp_path, behaviour) as truth, connected(truth) as client:
        stream = Stream(client)
        asked_ns = time.perf_counter_ns()
        stream.ask("r-1", text_inputs(12))
        received = stream.take(12)
        client.stop_stream()
        (sent,) = truth.stop()
    assert [chunk.response.as_numpy("text_output").item().decode() for chunk in received if chunk.response] == [
        f" t{index}" for index in range(12)
    ]
    assert [chunk.number("num_output_tokens") for chunk in received] == [1] * 12
    assert [chunk.number("num_input_tokens") for chunk in received] == [5] * 12
    assert [chunk.is_final for chunk in received] == [False] * 11 + [True]
    assert (sent.request_id, sent.input_tokens, sent.output_tokens) == ("r-1", 5, 12)
    assert (sent.outcome, sent.error) == (Outcome.COMPLETED, None)
    _assert_ordered(sent)
    assert asked_ns <= sent.request_complete_ns
    for chunk, sent_ns in zip(received, sent.chunk_sent_ns, strict=True):
        assert sent_ns <= chunk.at_ns


def _assert_ordered(sent: SentRequest) -> None:
    assert sent.arrival_ns <= sent.request_complete_ns
    for due_ns, before_ns, after_ns in zip(sent.chunk_due_ns, sent.chunk_sent_ns, sent.chunk_taken_ns, strict=True):
        assert sent.request_complete_ns <= due_ns <= before_ns <= after_ns <= sent.ended_ns
    assert list(sent.chunk_sent_ns) == sorted(sent.chunk_sent_ns)


def test_token_ids_arrive_in_chunks_as_asked(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(tokens_per_chunk=4)) as truth, connected(truth) as client:
        stream = Stream(client)
        stream.ask("r-1", id_inputs(10), "tensorrt_llm")
        received = stream.take(3)
        client.stop_stream()
        (sent,) = truth.stop()
    ids = np.concatenate([chunk.response.as_numpy("output_ids").ravel() for chunk in received if chunk.response])
    assert ids.tolist() == list(range(1000, 1010))
    assert [chunk.number("sequence_length") for chunk in received] == [4, 4, 2]
    assert (sent.chunk_tokens, sent.input_tokens) == ((4, 4, 2), 3)


def test_an_empty_first_chunk_carries_no_token(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(empty_first_chunk=True)) as truth, connected(truth) as client:
        stream = Stream(client)
        stream.ask("r-1", text_inputs(2))
        received = stream.take(3)
        client.stop_stream()
    assert [chunk.number("num_output_tokens") for chunk in received] == [0, 1, 1]


def test_many_requests_share_one_stream_and_are_told_apart_by_id(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(inter_token_s=0.002)) as truth, connected(truth) as client:
        stream = Stream(client)
        for index in range(40):
            stream.ask(f"r-{index}", text_inputs(index + 1))
        received = stream.take(sum(range(1, 41)))
        client.stop_stream()
        log = truth.stop()
    ids = [chunk.response.get_response().id for chunk in received if chunk.response]
    assert {name: ids.count(name) for name in ids} == {f"r-{index}": index + 1 for index in range(40)}
    assert {sent.request_id: sent.output_tokens for sent in log} == {f"r-{index}": index + 1 for index in range(40)}
    assert {sent.outcome for sent in log} == {Outcome.COMPLETED}


def test_each_of_several_requests_on_one_stream_gets_its_own_final_response(tmp_path: Path) -> None:
    behaviour = Behaviour(inter_token_s=0.002, final_flag="separate")
    with served(tmp_path, behaviour) as truth, connected(truth) as client:
        stream = Stream(client)
        for index in range(8):
            stream.ask(f"r-{index}", text_inputs(index + 1), enable_empty_final_response=True)
        received = stream.take(sum(range(1, 9)) + 8)
        client.stop_stream()
    finals = [chunk.response.get_response().id for chunk in received if chunk.response and chunk.is_final]
    assert sorted(finals) == [f"r-{index}" for index in range(8)]


def test_hundreds_of_streams_are_served_at_once(tmp_path: Path) -> None:
    with (
        served(tmp_path, Behaviour(time_to_first_token_s=2.0)) as truth,
        grpc.insecure_channel(truth.address) as channel,
    ):
        calls = [stream_call(channel, f"r-{index}", 5) for index in range(256)]
        assert [sum(1 for _ in call) for call in calls] == [5] * 256
        log = truth.stop()
    assert len({sent.stream_id for sent in log}) == 256
    assert _most_at_once(log) == 256


def _most_at_once(log: list[SentRequest]) -> int:
    edges = [(sent.arrival_ns, 1) for sent in log] + [(sent.ended_ns, -1) for sent in log]
    return max(itertools.accumulate(change for _, change in sorted(edges)))


def test_a_client_keeps_to_the_limit_of_concurrent_streams(tmp_path: Path) -> None:
    behaviour = Behaviour(max_concurrent_streams=4, inter_token_s=0.005)
    with served(tmp_path, behaviour) as truth, grpc.insecure_channel(truth.address) as channel:
        calls = [stream_call(channel, f"r-{index}", 3) for index in range(20)]
        assert [sum(1 for _ in call) for call in calls] == [3] * 20
        log = truth.stop()
    assert len(log) == 20
    assert _most_at_once(log) <= 4


def test_a_cancel_is_logged_with_what_was_sent_until_then(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(inter_token_s=0.01)) as truth, connected(truth) as client:
        stream = Stream(client)
        stream.ask("r-1", text_inputs(10_000))
        third_ns = stream.take(3)[-1].at_ns
        client.stop_stream(cancel_requests=True)
        (sent,) = _finished(truth, 1)
    assert sent.outcome is Outcome.CANCELLED
    assert 3 <= sent.output_tokens < 10_000
    assert sent.ended_ns > third_ns


def _finished(truth: TruthProcess, count: int) -> list[SentRequest]:
    """The log of a server that goes on, once `count` requests have ended; it writes them when it is idle."""
    for _ in range(int(WAIT_S / 0.02)):
        if len(log := read_log(truth.log_path)) >= count:
            return log
        time.sleep(0.02)
    pytest.fail(f"the log did not reach {count} requests")


def test_an_error_arrives_inside_the_stream_and_the_next_request_still_works(tmp_path: Path) -> None:
    behaviour = Behaviour(error_after_tokens=2, error_text="engine lost")
    with served(tmp_path, behaviour) as truth, connected(truth) as client:
        stream = Stream(client)
        for name in ("r-1", "r-2"):
            stream.ask(name, text_inputs(5))
            *chunks, last = stream.take(3)
            assert [chunk.error for chunk in chunks] == [None, None]
            assert last.error is not None
            assert last.error.message() == "engine lost"
        client.stop_stream()
        log = truth.stop()
    assert [(sent.outcome, sent.output_tokens, sent.error) for sent in log] == [(Outcome.ERROR, 2, "engine lost")] * 2


def test_a_request_that_is_wrong_in_itself_is_refused_inside_the_stream(tmp_path: Path) -> None:
    with served(tmp_path) as truth, connected(truth) as client:
        stream = Stream(client)
        stream.ask("r-1", tensors({"text_input": ("BYTES", [b"x"])}))
        (refused,) = stream.take(1)
        stream.ask("r-2", text_inputs(1))
        (answered,) = stream.take(1)
        client.stop_stream()
    assert "'max_tokens' is missing" in str(refused.error)
    assert answered.error is None


@pytest.mark.parametrize(
    ("behaviour", "code", "outcome", "tokens"),
    [
        (Behaviour(reject_share=1.0), grpc.StatusCode.UNAVAILABLE, Outcome.REJECTED, 0),
        (Behaviour(error_after_tokens=2, error_style="status"), grpc.StatusCode.INTERNAL, Outcome.ERROR, 2),
        (Behaviour(cut_after_tokens=3, cut_style="reset"), None, Outcome.CUT, 3),
        (Behaviour(cut_after_tokens=3, cut_style="no_trailers"), None, Outcome.CUT, 3),
        (Behaviour(cut_after_tokens=3, cut_style="close"), None, Outcome.CUT, 3),
        (Behaviour(cut_after_tokens=0, cut_style="no_trailers"), None, Outcome.CUT, 0),
    ],
)
def test_a_fault_reaches_the_client_after_what_was_sent_before_it(
    tmp_path: Path, behaviour: Behaviour, code: grpc.StatusCode | None, outcome: Outcome, tokens: int
) -> None:
    with served(tmp_path, behaviour) as truth, grpc.insecure_channel(truth.address) as channel:
        call = stream_call(channel, "r-1", 5)
        received = []
        with pytest.raises(grpc.RpcError) as failed:
            received.extend(iter(call))
        (sent,) = truth.stop()
    assert code in (None, failed.value.code())
    assert (sent.outcome, sent.output_tokens) == (outcome, tokens)
    # After RST_STREAM or a lost connection grpcio may throw away messages that it has, never invent some.
    assert len(received) <= tokens


@pytest.mark.parametrize(
    ("final_flag", "asks", "finals"),
    [
        ("on_last", False, [False, False, True]),
        ("separate", True, [False, False, False, True]),
        ("separate", False, [False, False, False]),
        ("missing", True, [False, False, False]),
    ],
)
def test_the_final_flag_is_where_the_behaviour_says(
    tmp_path: Path, final_flag: str, asks: bool, finals: list[bool]
) -> None:
    behaviour = Behaviour(final_flag=final_flag)  # type: ignore[arg-type]
    with served(tmp_path, behaviour) as truth, connected(truth) as client:
        stream = Stream(client)
        stream.ask("r-1", text_inputs(3), enable_empty_final_response=asks)
        received = stream.take(len(finals))
        client.stop_stream()
        assert stream.is_silent
        (sent,) = truth.stop()
    assert [chunk.is_final for chunk in received] == finals
    assert sent.output_tokens == 3


def test_a_stall_silences_every_stream_and_moves_the_rest_of_the_schedule(tmp_path: Path) -> None:
    behaviour = Behaviour(inter_token_s=0.01, stall_at_s=0.1, stall_s=0.4)
    with served(tmp_path, behaviour) as truth, grpc.insecure_channel(truth.address) as channel:
        calls = [stream_call(channel, f"r-{index}", 30) for index in range(3)]
        assert [sum(1 for _ in call) for call in calls] == [30] * 3
        log = truth.stop()
    silences = []
    for sent in log:
        gaps = [(later - earlier, earlier, later) for earlier, later in itertools.pairwise(sent.chunk_sent_ns)]
        silence, began, ended = max(gaps)
        assert silence >= 400 * MS
        assert [later - earlier for earlier, later in itertools.pairwise(sent.chunk_due_ns)].count(10 * MS) == 28
        silences.append((began, ended))
    assert max(began for began, _ in silences) < min(ended for _, ended in silences)


def test_a_server_without_statistics_or_configuration_says_unimplemented(tmp_path: Path) -> None:
    behaviour = Behaviour(statistics=False, model_configuration=False)
    with served(tmp_path, behaviour) as truth, connected(truth) as client:
        assert "statistics" not in client.get_server_metadata().extensions
        for ask in (client.get_inference_statistics, lambda: client.get_model_config("ensemble")):
            with pytest.raises(triton.InferenceServerException) as refused:
                ask()
            assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


def test_statistics_count_what_succeeded_and_what_failed(tmp_path: Path) -> None:
    behaviour = Behaviour(error_share=0.5, error_after_tokens=1)
    with served(tmp_path, behaviour) as truth, connected(truth) as client:
        stream = Stream(client)
        for index in range(20):
            stream.ask(f"r-{index}", text_inputs(1))
        client.stop_stream()
        (row,) = client.get_inference_statistics("ensemble").model_stats
        log = truth.stop()
    completed = sum(sent.outcome is Outcome.COMPLETED for sent in log)
    assert 0 < completed < 20
    assert (row.inference_stats.success.count, row.inference_stats.fail.count) == (completed, 20 - completed)


def test_a_single_answer_needs_a_server_that_is_not_decoupled(tmp_path: Path) -> None:
    with served(tmp_path) as truth, connected(truth) as client, pytest.raises(triton.InferenceServerException) as no:
        client.infer("ensemble", text_inputs(4, stream=False))
    assert no.value.status() == "StatusCode.UNIMPLEMENTED"
    with served(tmp_path, Behaviour(decoupled=False)) as truth, connected(truth) as client:
        result = client.infer("ensemble", text_inputs(4, stream=False), request_id="r-1")
        assert result.as_numpy("text_output").item().decode() == "five words make a prompt t0 t1 t2 t3"
        (sent,) = truth.stop()
    assert (sent.chunk_tokens, sent.outcome) == ((4,), Outcome.COMPLETED)


def test_an_unknown_model_is_not_found(tmp_path: Path) -> None:
    with served(tmp_path) as truth, connected(truth) as client, pytest.raises(triton.InferenceServerException) as no:
        client.get_model_metadata("gpt")
    assert no.value.status() == "StatusCode.NOT_FOUND"


def test_after_goaway_a_client_goes_on_over_a_new_connection(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(goaway_after_streams=2)) as truth, grpc.insecure_channel(truth.address) as channel:
        for index in range(6):
            assert sum(1 for _ in stream_call(channel, f"r-{index}", 2)) == 2
        log = truth.stop()
    assert [sent.connection for sent in log] == [0, 0, 1, 1, 2, 2]


def test_sigterm_completes_the_log_with_what_was_under_way(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(inter_token_s=0.01)) as truth, grpc.insecure_channel(truth.address) as channel:
        call = stream_call(channel, "r-1", 10_000)
        for _ in range(3):
            next(call)
        os.kill(truth.pid, signal.SIGTERM)
        with pytest.raises(grpc.RpcError):
            list(call)
        (sent,) = truth.stop()
    assert sent.outcome is Outcome.UNFINISHED
    assert 3 <= sent.output_tokens < 10_000


def test_a_client_that_vanishes_is_logged_as_disconnected(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(inter_token_s=0.01)) as truth:
        with raw_request(truth, window=1 << 20, tokens=10_000) as peer:
            assert peer.recv(1 << 16)
        (sent,) = _finished(truth, 1)
    assert sent.outcome is Outcome.DISCONNECTED


@contextmanager
def raw_request(truth: TruthProcess, window: int, tokens: int) -> Iterator[socket.socket]:
    """A connection on which one request was sent, by a client whose streams take `window` bytes and no more."""
    message = service_pb2.ModelInferRequest(model_name="ensemble", id="raw")
    for tensor in text_inputs(tokens):
        message.inputs.append(tensor._get_tensor())
        message.raw_input_contents.append(tensor._get_content())
    body = message.SerializeToString()
    headers = {":method": "POST", ":scheme": "http", ":path": "/inference.GRPCInferenceService/ModelStreamInfer"}
    block = hpack.Encoder().encode({**headers, "content-type": "application/grpc"})
    with socket.create_connection(("127.0.0.1", truth.port), timeout=WAIT_S) as peer:
        peer.sendall(frames.PREFACE + frames.pack_settings({frames.Setting.INITIAL_WINDOW_SIZE: window}))
        peer.sendall(frames.pack(frames.HEADERS, frames.END_HEADERS, 1, block))
        content = b"\0" + len(body).to_bytes(4, "big") + body
        peer.sendall(frames.pack(frames.DATA, frames.END_STREAM, 1, content))
        yield peer


def test_a_chunk_held_back_by_the_clients_window_is_logged_when_it_really_left(tmp_path: Path) -> None:
    with served(tmp_path) as truth, raw_request(truth, window=10, tokens=3) as peer:
        reader = frames.FrameReader()
        reader.feed(frames.PREFACE)
        held = _receive_until(peer, reader, lambda frame: frame.type == frames.DATA)
        time.sleep(0.2)
        granted_ns = time.perf_counter_ns()
        peer.sendall(frames.pack_window_update(1, 1 << 20))
        _receive_until(peer, reader, lambda frame: frame.type == frames.HEADERS)
        (sent,) = _finished(truth, 1)
    assert len(held.payload) == 10
    assert sent.output_tokens == 3
    assert sent.chunk_due_ns[0] < granted_ns < sent.chunk_sent_ns[0]


def _receive_until(peer: socket.socket, reader: frames.FrameReader, wanted) -> frames.Frame:  # type: ignore[no-untyped-def]
    """The first wanted frame after the response headers; reading stops with it."""
    for _ in range(1000):
        for frame in reader.feed(peer.recv(1 << 16)):
            is_response_headers = frame.type == frames.HEADERS and not frame.flags & frames.END_STREAM
            if wanted(frame) and not is_response_headers:
                return frame
    pytest.fail("the frame did not come")


def test_http_1_and_plain_http_2_requests_are_turned_away(tmp_path: Path) -> None:
    with served(tmp_path) as truth:
        with socket.create_connection(("127.0.0.1", truth.port), timeout=WAIT_S) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while peer.recv(1 << 16):
                pass
        with connected(truth) as client:
            assert client.is_server_live()


@pytest.mark.skipif(certificates.MISSING, reason=certificates.WHY_SKIPPED)
def test_tls_with_alpn_carries_the_same_streams(tmp_path: Path) -> None:
    certificate, key = certificates.self_signed(tmp_path)
    log_path = tmp_path / "sent.jsonl"
    with process.start(Behaviour(), log_path, tls_certificate=certificate, tls_key=key) as truth:
        with connected(truth, ssl=True, root_certificates=str(certificate)) as client:
            stream = Stream(client)
            stream.ask("r-1", text_inputs(2000))
            assert all(chunk.error is None for chunk in stream.take(2000))
            client.stop_stream()
        (sent,) = truth.stop()
    assert (sent.output_tokens, sent.outcome) == (2000, Outcome.COMPLETED)


def test_slow_accept_delays_the_first_answer_and_nothing_else(tmp_path: Path) -> None:
    with served(tmp_path, Behaviour(slow_accept_s=0.5)) as truth, connected(truth) as client:
        begun = time.perf_counter()
        assert client.is_server_live()
        first = time.perf_counter() - begun
        begun = time.perf_counter()
        assert client.is_server_live()
        assert first >= 0.5
        assert time.perf_counter() - begun < first


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with served(tmp_path) as first:
        starting = process.start(Behaviour(), tmp_path / "second.jsonl", port=first.port)
        with pytest.raises(TargetNotReady, match="cannot start"), starting:
            pytest.fail("two servers on one port")


def test_a_server_inside_the_process_keeps_its_records_there() -> None:
    server = TruthServer(Behaviour(tokens_per_chunk=2))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            assert sum(1 for _ in stream_call(channel, "r-1", 4)) == 2
    finally:
        server.stop()
        thread.join(WAIT_S)
    assert [sent.chunk_tokens for sent in server.log.records] == [(2, 2)]


def test_the_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    with served(tmp_path) as truth:
        assert truth._child.stdin is not None
        truth._child.stdin.close()
        assert truth._child.wait(WAIT_S) == 0
