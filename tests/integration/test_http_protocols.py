"""The Locust driver over HTTP/1.1, every protocol of it, against a truth server that logs what it really sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import certificates
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import truth_target

from harness.drivers import task as tasks
from harness.drivers.locust.driver import LocustDriver
from harness.drivers.task import Address, TlsFiles
from harness.records.store import RunFolder
from harness.truth import process
from harness.truth.behaviour import Behaviour

pytestmark = pytest.mark.integration

PACED = Behaviour(time_to_first_token_s=0.03, inter_token_s=0.005)
OPENAI_INPUTS = {"text_input": "BYTES"}
PROTOCOLS = ("triton_http", "openai_chat", "openai_completions")
OPENAI_INPUTS = {"text_input": "BYTES"}
INPUTS = {
    "triton_grpc": truth_target.TEXT_INPUTS,
    "triton_http": truth_target.TEXT_INPUTS,
    "openai_chat": OPENAI_INPUTS,
    "openai_completions": OPENAI_INPUTS,
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocustDriver]:
    with LocustDriver(tmp_path_factory.mktemp("driver") / "driver.log") as driver:
        yield driver


def _run(
    driver: LocustDriver, folder: Path, port: int, protocol: str, *, requests: int = 40, **changes: object
) -> list[dict[str, object]]:
    """The records of a few requests; `changes` are fields of the task."""
    timeout_s, tokens = float(str(changes.pop("timeout_s", 30.0))), int(str(changes.pop("output_tokens", 10)))
    planned = {name: changes.pop(name) for name in ("traced", "cancel_after_tokens") if name in changes}
    given = truth_target.scenario(4, tokens, max_requests=requests, timeout_s=timeout_s)
    changes = {"inputs": INPUTS[protocol], "address": Address("127.0.0.1", port), "warm_up_ns": 0} | changes
    task = truth_target.task(folder, port, given, protocol=protocol, **changes)
    _replan(folder, planned)
    events = truth_target.execute(driver, task)
    assert events[-1].kind == tasks.FINISHED, events[-1]
    RunFolder(folder).merge_requests([])
    rows: list[dict[str, object]] = pq.read_table(folder / "requests.parquet").to_pylist()
    assert rows, "an empty run proves nothing"
    return rows


def _replan(folder: Path, columns: dict[str, object]) -> None:
    """Give every planned request these values."""
    plan = pq.read_table(folder / "plan.parquet")
    for name, value in columns.items():
        field = plan.schema.field(name)
        values = pa.repeat(pa.scalar(value, field.type), len(plan))
        plan = plan.set_column(plan.schema.get_field_index(name), field, values)
    pq.write_table(plan, folder / "plan.parquet")


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_records_agree_with_what_the_server_logged(
    driver: LocustDriver, tmp_path: Path, protocol: str, chunked: bool
) -> None:
    with process.start(dataclasses.replace(PACED, http_chunked=chunked), tmp_path / "log") as server:
        rows = _run(driver, tmp_path / "run", server.http_port, protocol)
        log = {sent.request_id: sent for sent in server.stop()}
    assert len(rows) == len(log) == 40
    assert {row["outcome"] for row in rows} == {"ok"}, rows[0]["error"]
    errors = []
    for row in rows:
        sent = log[str(row["request_id"])]
        assert row["chunk_tokens"] == list(sent.chunk_tokens)
        assert row["output_tokens_server"] == row["output_tokens_asked"] == 10
        assert row["input_tokens_server"] == sent.input_tokens
        assert row["sent_ns"] < sent.request_complete_ns
        stamps = np.asarray(row["chunk_offsets_ns"]) + row["sent_ns"]
        assert (stamps >= np.asarray(sent.chunk_sent_ns)).all()
        assert row["done_ns"] >= stamps[-1]
        errors.append(np.median(stamps - np.asarray(sent.chunk_sent_ns)))
    assert np.median(errors) < 0.5 * 5e6, "half of all chunks are stamped within half a gap of their sending"


def test_connections_are_kept_alive(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        rows = _run(driver, tmp_path / "run", server.http_port, "triton_http")
        log = server.stop()
    assert {sent.connection for sent in log} == {0, 1, 2, 3}
    assert {row["connection_reused"] for row in rows} == {True}


def test_token_ids_go_and_come_as_json(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        rows = _run(
            driver,
            tmp_path / "run",
            server.http_port,
            "triton_http",
            model="tensorrt_llm",
            inputs=truth_target.ID_INPUTS,
        )
    assert {(row["outcome"], row["output_tokens_client"]) for row in rows} == {("ok", 10)}


def test_several_events_in_a_packet_share_an_instant_and_keep_their_counts(
    driver: LocustDriver, tmp_path: Path
) -> None:
    behaviour = dataclasses.replace(PACED, chunks_per_packet=5)
    with process.start(behaviour, tmp_path / "log") as server:
        rows = _run(driver, tmp_path / "run", server.http_port, "openai_chat")
    assert {row["outcome"] for row in rows} == {"ok"}
    assert {tuple(row["chunk_tokens"]) for row in rows} == {(1,) * 10}  # type: ignore[arg-type]
    instants = [len(set(row["chunk_offsets_ns"])) for row in rows]  # type: ignore[call-overload]
    assert np.median(instants) == 2, "ten events came in two packets"


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "triton_grpc"])
def test_an_answer_that_is_not_streamed_has_counts_and_no_first_token(
    driver: LocustDriver, tmp_path: Path, protocol: str
) -> None:
    behaviour = dataclasses.replace(PACED, decoupled=protocol == "triton_grpc")
    with process.start(behaviour, tmp_path / "log") as server:
        port = server.port if protocol == "triton_grpc" else server.http_port
        rows = _run(driver, tmp_path / "run", port, protocol, streamed=False)
        log = {sent.request_id: sent for sent in server.stop()}
    assert {(row["outcome"], row["output_tokens_server"]) for row in rows} == {("ok", 10)}, rows[0]["error"]
    for row in rows:
        assert (row["first_token_ns"], row["last_token_ns"], row["chunk_tokens"]) == (None, None, [])
        assert row["done_ns"] >= log[str(row["request_id"])].chunk_sent_ns[-1]


@pytest.mark.parametrize(
    ("protocol", "behaviour", "outcome", "text"),
    [
        ("triton_http", Behaviour(error_after_tokens=3), "server_error", "told to fail"),
        ("triton_http", Behaviour(error_share=1.0), "server_error", "HTTP 500"),
        ("triton_http", Behaviour(reject_share=1.0), "rejected", "HTTP 429"),
        ("triton_http", Behaviour(reject_share=1.0, http_reject_status=503), "rejected", "HTTP 503"),
        ("triton_http", Behaviour(cut_after_tokens=3, cut_style="close"), "bad_stream", "closed by the server"),
        ("triton_http", Behaviour(cut_after_tokens=3, cut_style="reset"), "bad_stream", "reset"),
        ("triton_http", Behaviour(required_key="k"), "server_error", "HTTP 401"),
        ("openai_chat", Behaviour(cut_after_tokens=3, cut_style="no_trailers"), "bad_stream", "without [DONE]"),
        ("openai_chat", Behaviour(final_flag="missing"), "bad_stream", "without [DONE]"),
        ("openai_completions", Behaviour(error_after_tokens=3), "server_error", "told to fail"),
    ],
)
def test_failures_are_told_apart(
    driver: LocustDriver, tmp_path: Path, protocol: str, behaviour: Behaviour, outcome: str, text: str
) -> None:
    with process.start(behaviour, tmp_path / "log") as server:
        rows = _run(driver, tmp_path / "run", server.http_port, protocol, requests=8)
    ended = [row for row in rows if row["outcome"] != "cancelled"]
    assert {row["outcome"] for row in ended} == {outcome}, ended[0]["error"]
    assert all(text in str(row["error"]) for row in ended), ended[0]["error"]


def test_a_request_over_its_timeout_is_disconnected_and_keeps_what_came(driver: LocustDriver, tmp_path: Path) -> None:
    slow = Behaviour(time_to_first_token_s=0.02, inter_token_s=0.1)
    with process.start(slow, tmp_path / "log") as server:
        rows = _run(driver, tmp_path / "run", server.http_port, "triton_http", requests=8, timeout_s=0.5)
        log = server.stop()
    assert {row["outcome"] for row in rows} == {"timeout"}
    assert all(2 <= len(row["chunk_tokens"]) <= 6 for row in rows)  # type: ignore[arg-type]
    assert {str(sent.outcome) for sent in log} == {"disconnected"}


@pytest.mark.skipif(certificates.MISSING, reason=certificates.WHY_SKIPPED)
def test_a_gateway_with_tls_key_headers_and_a_base_path_is_reached(driver: LocustDriver, tmp_path: Path) -> None:
    certificate, key = certificates.self_signed(tmp_path)
    behaviour = dataclasses.replace(PACED, required_key="s3cret", http_base_path="/team/llm")
    with process.start(behaviour, tmp_path / "log", tls_certificate=certificate, tls_key=key) as server:
        address = Address(
            "127.0.0.1",
            server.http_port,
            TlsFiles(ca_file=str(certificate)),
            {"authorization": "Bearer s3cret", "x-tenant": "a"},
            "/team/llm",
        )
        rows = _run(driver, tmp_path / "run", server.http_port, "openai_chat", address=address)
    assert {(row["outcome"], row["output_tokens_server"]) for row in rows} == {("ok", 10)}, rows[0]["error"]


def test_a_server_that_leaves_nagles_algorithm_on_is_not_delayed_by_our_acknowledgements(
    driver: LocustDriver, tmp_path: Path
) -> None:
    behaviour = Behaviour(tcp_nodelay=False, time_to_first_token_s=0.005, inter_token_s=0.002)
    with process.start(behaviour, tmp_path / "log") as server:
        rows = _run(driver, tmp_path / "run", server.http_port, "triton_http", output_tokens=12, requests=200)
        log = {sent.request_id: sent for sent in server.stop()}
    lags = [
        np.asarray(row["chunk_offsets_ns"]) + row["sent_ns"] - np.asarray(log[str(row["request_id"])].chunk_sent_ns)
        for row in rows
    ]
    assert np.median(np.concatenate(lags)) < 2e6, "a delayed acknowledgement holds the rest of such an answer back"


def test_a_planned_cancellation_closes_the_connection_at_its_token(driver: LocustDriver, tmp_path: Path) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        rows = _run(driver, tmp_path / "run", server.http_port, "openai_chat", requests=8, cancel_after_tokens=3)
        log = server.stop()
    assert {row["outcome"] for row in rows} == {"cancelled"}
    assert {tuple(row["chunk_tokens"]) for row in rows} == {(1, 1, 1)}  # type: ignore[arg-type]
    assert {str(sent.outcome) for sent in log} == {"disconnected"}


@pytest.mark.parametrize("protocol", ["triton_http", "triton_grpc"])
def test_a_traced_request_carries_its_trace_context(driver: LocustDriver, tmp_path: Path, protocol: str) -> None:
    with process.start(PACED, tmp_path / "log") as server:
        port = server.port if protocol == "triton_grpc" else server.http_port
        rows = _run(driver, tmp_path / "run", port, protocol, requests=8, traced=True)
        contexts = {sent.traceparent for sent in server.stop()}
    assert len(contexts) == len(rows) == 8
    assert all(str(context).startswith("00-") and len(str(context)) == 55 for context in contexts)


@pytest.mark.parametrize("protocol", ["triton_http", "triton_grpc"])
def test_text_that_is_repeated_with_each_token_is_counted_once(
    driver: LocustDriver, tmp_path: Path, protocol: str
) -> None:
    uncounted = {name: kind for name, kind in truth_target.TEXT_INPUTS.items() if not name.startswith("return_num")}
    with process.start(dataclasses.replace(PACED, cumulative_text=True), tmp_path / "log") as server:
        port = server.port if protocol == "triton_grpc" else server.http_port
        rows = _run(driver, tmp_path / "run", port, protocol, requests=8, inputs=uncounted)
    assert {row["outcome"] for row in rows} == {"ok"}
    assert {tuple(row["chunk_tokens"]) for row in rows} == {(1,) * 10}  # type: ignore[arg-type]
