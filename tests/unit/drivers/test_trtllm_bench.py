"""trtllm-bench. Its reports here are constructed from the documented keys, never seen from the tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.tools_command import tools
from harness.drivers.trtllm_bench import dataset, report
from harness.drivers.trtllm_bench.command import EngineRun, command
from harness.errors import RunFolderError, UsageError
from harness.metrics.catalog import METRICS
from harness.plan.prompts import PromptKey, PromptSource
from harness.records import foreign
from harness.records.store import RunFolder

TIMES = {"p50": 10.0, "p90": 12.0, "p95": 13.0, "p99": 20.0, "minimum": 8.0, "maximum": 21.0, "average": 10.5}
CONSTRUCTED: dict[str, Any] = {
    "engine": {"model": "m", "model_path": None, "version": "1.2.1", "backend": "Pytorch", "dtype": "bfloat16"},
    "world_info": {"tp_size": 1, "pp_size": 1, "max_batch_size": 64, "issue_rate": 1e9},
    "request_info": {"num_requests": 100, "avg_input_length": 12.0, "avg_output_length": 20.0},
    "performance": {
        "total_latency_ms": 1000.0,
        "avg_request_latency_ms": 10.5,
        "request_throughput_req_s": 100.0,
        "system_output_throughput_tok_s": 2000.0,
        "system_total_throughput_tok_s": 3200.0,
        "output_throughput_per_user_tok_s": 100.0,
        "request_latency_percentiles_ms": TIMES,
    },
    "streaming_metrics": {
        "token_output_speed_tok_s": 99.0,
        "avg_ttft_ms": 5.0,
        "avg_tpot_ms": 0.5,
        "ttft_percentiles": TIMES,
        "gen_tps_percentiles": TIMES,
    },
}


def _values(raw: Any) -> dict[str, foreign.ForeignValue]:
    return {value.name: value for value in report.parse(raw, "r.json", "0" * 64).values}


def test_every_number_is_kept_under_the_tools_own_name_with_its_unit() -> None:
    values = _values(CONSTRUCTED)
    assert values["performance.request_throughput_req_s"].unit == "1/s"
    assert values["performance.request_latency_percentiles_ms.p99"].value == 20.0
    assert values["performance.request_latency_percentiles_ms.p99"].unit == "ms"
    assert values["streaming_metrics.ttft_percentiles.p50"].nearest == "time_to_first_token_from_send"
    assert values["streaming_metrics.gen_tps_percentiles.p50"].unit == "tokens/s"
    assert len(values) == 6 + 7 + 3 + 7 + 7


def test_the_metrics_named_as_nearest_exist() -> None:
    assert set(report.NEAREST.values()) <= set(METRICS)


def test_keys_of_other_versions_are_taken_as_they_are() -> None:
    changed = {"performance": {"brand_new_tok_s": 5, "flag": True, "text": "x", "nan": float("nan")}, "more": [1]}
    assert {name: value.unit for name, value in _values(changed).items()} == {"performance.brand_new_tok_s": "tokens/s"}


def test_a_report_without_streaming_says_what_is_missing() -> None:
    raw = {name: part for name, part in CONSTRUCTED.items() if name != "streaming_metrics"}
    assert "--streaming" in report.parse(raw, "r.json", "0").notes[0]


@pytest.mark.parametrize("raw", [[], {}, {"performance": 3}, "text"])
def test_something_else_is_no_report(raw: Any) -> None:
    with pytest.raises(UsageError, match=r"is not a report of trtllm-bench"):
        report.parse(raw, "r.json", "0")


def test_the_command_pins_lengths_and_streams() -> None:
    run = EngineRun("org/model", options_file=Path("o.yaml"), max_batch_size=64, concurrency=8)
    line = command(run, dataset=Path("d.jsonl"), report=Path("r.json"))
    assert line[:4] == ["trtllm-bench", "--model", "org/model", "throughput"]
    pairs = dict(zip(line[4:-1:2], line[5::2], strict=False))
    assert pairs["--eos_id"] == "-1"
    assert pairs["--backend"] == "pytorch"
    assert pairs["--extra_llm_api_options"] == "o.yaml"
    assert (pairs["--max_batch_size"], pairs["--concurrency"]) == ("64", "8")
    assert line[-1] == "--streaming"
    assert "--engine_dir" not in line


def test_a_built_engine_takes_the_tensorrt_backend() -> None:
    run = EngineRun("m", engine_dir=Path("e"), streaming=False)
    line = command(run, dataset=Path("d"), report=Path("r"))
    assert line[line.index("--backend") + 1] == "tensorrt"
    assert line[line.index("--engine_dir") + 1] == "e"
    assert "--streaming" not in line


def test_the_data_set_holds_the_ids_and_lengths_of_the_plan() -> None:
    source = PromptSource.without_tokenizer(1)
    asked = [
        dataset.Asked(number, PromptKey("salt", 1, "p", None, 0, number), 12 + number, 20, number % 3)
        for number in range(5)
    ]
    entries = [json.loads(line) for line in dataset.lines(asked, source)]
    assert [entry["task_id"] for entry in entries] == [0, 1, 2, 3, 4]
    assert [len(entry["input_ids"]) for entry in entries] == [12, 13, 14, 15, 16]
    assert entries[3]["input_ids"] == source.ids(asked[3].key, 15, 0).tolist()
    assert {entry["output_tokens"] for entry in entries} == {20}


def test_importing_keeps_the_results_beside_the_records_and_only_once(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.write_text("manifest.json", "{}")
    given = tmp_path / "report.json"
    given.write_text(json.dumps(CONSTRUCTED))
    for _ in range(2):
        result = CliRunner().invoke(tools, ["import-trtllm-bench", str(given), str(folder.path)])
        assert result.exit_code == 0, result.output
    (kept,) = foreign.read(folder)
    assert (kept.tool, kept.level, kept.source) == ("trtllm-bench", "engine", "report.json")
    assert kept == report.read(given)
    assert not (folder.path / "requests.parquet").exists()


def test_a_run_without_imports_has_no_foreign_results_and_a_damaged_file_says_so(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    assert foreign.read(folder) == []
    folder.write_text(foreign.FILE, '{"foreign_version": 1, "results": [{"tool": "x"}]}')
    with pytest.raises(RunFolderError, match="damaged"):
        foreign.read(folder)
    folder.write_text(foreign.FILE, '{"foreign_version": 9, "results": []}')
    with pytest.raises(RunFolderError, match="version 9"):
        foreign.read(folder)
