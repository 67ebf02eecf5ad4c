"""What perf_analyzer is given: the same tensors and prompts as our own driver sends."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from perf_analyzer_samples import offered_by, row, task
from tritonclient.grpc import service_pb2

from harness.drivers import planned
from harness.drivers.perf_analyzer import command, inputs, refusals
from harness.drivers.planned import Prompts
from harness.drivers.task import Address, TlsFiles
from harness.errors import UsageError
from harness.protocols.triton_grpc import ModelContract, RequestEncoder
from harness.records.schemas import PLAN


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm"])
def test_a_request_has_the_tensors_and_values_our_own_encoder_sends(model: str) -> None:
    offered = offered_by(model)
    planned_row = row(7)
    prompts = Prompts(task(model=model, inputs=offered))
    encoder = RequestEncoder(ModelContract(model, offered))
    if model == "ensemble":
        message = encoder.text("id", prompts.text(planned_row), planned_row.output_tokens)
    else:
        message = encoder.ids("id", prompts.ids(planned_row), planned_row.output_tokens)
    ours = service_pb2.ModelInferRequest.FromString(message)
    expected = {tensor.name: list(tensor.shape)[1:] for tensor in ours.inputs}
    _, tensors = inputs.entry(planned_row, prompts, offered)
    assert {name: tensor["shape"] for name, tensor in tensors.items()} == expected
    for tensor, raw in zip(ours.inputs, ours.raw_input_contents, strict=True):
        content = tensors[tensor.name]["content"]
        if tensor.datatype == "BYTES":
            assert content == [raw[4:].decode()]
        else:
            size = len(raw) // len(content)
            assert b"".join(int(value).to_bytes(size, "little", signed=value < 0) for value in content) == raw


def test_the_file_keeps_the_order_of_the_plan_and_every_row_has_its_own_key() -> None:
    given, rows, file = task(), [row(number) for number in range(50)], io.StringIO()
    keys = inputs.write(rows, Prompts(given), given.inputs, file)
    entries = json.loads(file.getvalue())["data"]
    assert [keys[entry["text_input"]["content"][0]][0].number for entry in entries] == list(range(50))
    assert len(keys) == 50


def test_an_exported_request_finds_its_key_whether_text_or_ids() -> None:
    assert inputs.key_of({"text_input": "a b", "max_tokens": 3}) == "a b"
    assert inputs.key_of({"input_ids": [1, 2], "streaming": True}) == inputs.key_of_ids([1, 2])
    assert inputs.key_of({"input_ids": 5}) == inputs.key_of_ids([5])
    assert inputs.key_of({"other": 1}) is None


def test_the_sums_of_the_intervals_are_the_offsets_to_the_microsecond() -> None:
    offsets = [333_333 * number for number in range(1, 1000)]
    sums, total = [], 0
    for interval in command.intervals_us(offsets):
        total += interval
        sums.append(total)
    assert all(abs(total * 1000 - offset) <= 500 for total, offset in zip(sums, offsets, strict=True))


def test_a_closed_loop_asks_for_concurrency_and_an_open_one_for_intervals() -> None:
    paths = {"inputs": Path("in"), "export": Path("out")}
    closed = command.command(task(), Path("pa"), **paths, requests=9, intervals=None)
    opened = command.command(task(concurrency=None), Path("pa"), **paths, requests=9, intervals=Path("pace"))
    assert closed[closed.index("--concurrency-range") + 1] == "4"
    assert "--request-intervals" not in closed
    assert opened[opened.index("--request-intervals") + 1] == "pace"
    assert "--concurrency-range" not in opened
    for line in (closed, opened):
        assert line[line.index("--request-count") + 1] == "9"
        assert "--request-rate-range" not in line
        assert line[line.index("--max-threads") + 1] == "1", "more threads stride through the inputs"


def test_tls_files_reach_the_command_line() -> None:
    given = task(address=Address("::1", 8001, TlsFiles(ca_file="ca.pem")))
    line = command.command(given, Path("pa"), inputs=Path("i"), export=Path("e"), requests=1, intervals=None)
    assert line[line.index("--ssl-grpc-root-certifications-file") + 1] == "ca.pem"
    assert line[line.index("-u") + 1] == "[::1]:8001"


@pytest.mark.parametrize(
    ("settings", "fields", "words"),
    [
        ({"address": Address("h", 1, None, {"authorization": "x"})}, {}, "authorization"),
        ({"address": Address("h", 1, TlsFiles(server_name="other"))}, {}, "server_name"),
        ({"inputs": {"prompt": "BYTES"}}, {}, "neither text_input nor input_ids"),
        ({"protocol": "openai_chat"}, {}, "openai_chat"),
        ({"streamed": False}, {}, "request.stream"),
        ({"tenant_headers": {"people": {"x-tenant": "secret"}}}, {}, "x-tenant"),
        ({}, {"traced": True}, "traceparent"),
        ({}, {"session_id": "s", "turn": 1, "new_input_tokens": 4}, "history: reply"),
        ({}, {"session_id": "s"}, "sessions"),
        ({}, {"cancel_after_tokens": 3}, "cancel"),
        ({}, {"cancel_after_ns": 3}, "cancel"),
        ({}, {"tenant": "other"}, "tenants"),
        ({}, {"timeout_ns": 5}, "timeouts"),
        ({"concurrency": None, "max_in_flight": 8}, {}, "in flight"),
    ],
)
def test_what_perf_analyzer_cannot_do_is_refused_by_name(
    settings: dict[str, object], fields: dict[str, object], words: str
) -> None:
    planned_rows = [row(0), row(1, **fields)]
    refusals.refuse(task(), [row(0), row(1)])
    with pytest.raises(UsageError, match=words) as caught:
        refusals.refuse(task(**settings), planned_rows)
    assert "locust" in str(caught.value.hint)


def test_the_header_values_of_a_refused_target_are_not_told() -> None:
    given = task(address=Address("h", 1, None, {"authorization": "Bearer secret"}))
    with pytest.raises(UsageError) as caught:
        refusals.refuse(given, [row()])
    assert "secret" not in str(caught.value)


def test_the_rows_are_columns_of_the_plan() -> None:
    assert set(planned.PlannedRow._fields) - {"number"} <= set(PLAN.names)
