"""The record of a started engine: it survives the round trip, and never trusts a pid alone."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import psutil
import pytest

from harness.engine.load import load_engine
from harness.errors import UsageError
from harness.target import launch, process, started
from harness.target.ports import Ports
from harness.target.process import Identity
from harness.target.started import StartedEngine


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StartedEngine:
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    (tmp_path / "state" / "engines").mkdir(parents=True)
    folder = tmp_path / "server"
    folder.mkdir()
    return StartedEngine(
        name="mine",
        identity=Identity(os.getpid(), psutil.Process().create_time()),
        ports=Ports(1, 2, 3),
        folder=str(folder),
        log=str(tmp_path / "mine.log"),
        tokenizer="/srv/tokenizer.json",
        engine_file="/srv/mine.yaml",
        engine_hash="0" * 16,
        engine_spec="kind: cpu\n",
        since_s=0.0,
    )


def saved(record: StartedEngine) -> Path:
    file = started._file(record.name)
    file.write_text(json.dumps(dataclasses.asdict(record)))
    return file


def test_a_record_reads_back_as_it_was(record: StartedEngine) -> None:
    saved(record)
    assert started.find("mine") == record
    assert started.find_all() == [record]
    assert started.find("other") is None


def test_a_pid_that_belongs_to_another_process_by_now_is_not_our_server(record: StartedEngine) -> None:
    assert record.alive
    stale = dataclasses.replace(record, identity=Identity(os.getpid(), record.identity.started - 100))
    assert not stale.alive
    assert process.family(stale.identity) == [], "its namesake's children are not ours to end"


def test_taking_down_a_stale_record_ends_nobody(record: StartedEngine) -> None:
    stale = dataclasses.replace(record, identity=Identity(os.getpid(), record.identity.started - 100))
    file = saved(stale)
    assert started.down(stale) is False  # and this very process, whose pid it names, still runs
    assert not file.exists()
    assert not Path(stale.folder).exists()


def test_a_damaged_record_says_which_file(record: StartedEngine) -> None:
    file = saved(record)
    file.write_text(file.read_text()[:40])
    with pytest.raises(UsageError, match=r"mine\.json is damaged"):
        started.find("mine")


def test_a_dead_engine_tells_why_from_its_log(record: StartedEngine) -> None:
    assert record.why_dead() == "its log says nothing"
    Path(record.log).write_text((Path(__file__).with_name("logs") / "stub_dies.log").read_text())
    assert "is not healthy" in record.why_dead()


def test_an_engine_of_tensorrt_llm_is_not_started_with_the_embedded_triton(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs TensorRT-LLM: the embedded Triton has none"):
        launch.prepare_parts(load_engine("llama-3.1-8b-bf16-h100"), lambda _: None)
