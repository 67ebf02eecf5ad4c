"""verdict.json, and the folder it lies in: one file for a run and for its gate, a schema that is kept in step."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from fixture_run import write_fixture_run
from gate_verdicts import verdicts
from report_runs import SMALL

from harness.assess.assess import assess
from harness.assess.files import verdict_json as run_verdict_json
from harness.assess.files import write_files
from harness.cli.scenario_commands import schema as schema_command
from harness.errors import RunFolderError
from harness.gate import verdict_json
from harness.gate.verdict import Verdict
from harness.records.store import RunFolder
from harness.report.gate import writer
from harness.report.gate.verdict_schema import schema
from harness.report.gate.verdict_schema import text as schema_text
from harness.report.writer import view_of

GATES = verdicts()
SHIPPED = Path(__file__).resolve().parents[3] / "reports" / "verdict.schema.json"


def infinite(verdict: Verdict) -> Verdict:
    """The candidate's first metric was 0: an infinite loss."""
    first = dataclasses.replace(verdict.metrics[0], effect=math.inf, low=0.2, high=math.inf)
    return dataclasses.replace(verdict, metrics=[first, *verdict.metrics[1:]])


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A small run, assessed."""
    folder = write_fixture_run(tmp_path / "run", SMALL)
    write_files(folder, assess(folder))
    return folder


@pytest.mark.parametrize("name", GATES)
def test_what_is_written_is_read_again(name: str) -> None:
    assert verdict_json.read(verdict_json.gate_json(GATES[name])) == GATES[name]


def test_an_infinite_loss_is_a_word_in_the_file_and_infinite_again_when_read() -> None:
    text = verdict_json.gate_json(infinite(GATES["fail"]))
    assert json.loads(text)["metrics"][0]["high"] == "Infinity"
    again = verdict_json.read(text)
    assert again is not None
    assert again.metrics[0].effect == math.inf
    assert again.metrics[0].low == 0.2


@pytest.mark.parametrize("name", GATES)
def test_every_verdict_obeys_the_published_schema(name: str) -> None:
    for verdict in (GATES[name], infinite(GATES["fail"])):
        jsonschema.validate(json.loads(verdict_json.gate_json(verdict)), schema())


def test_the_verdict_of_a_run_and_of_a_judged_run_obey_the_schema(run: RunFolder) -> None:
    own = json.loads((run.path / "verdict.json").read_text())
    jsonschema.validate(own, schema())
    writer.write(GATES["pass"], run.path)
    judged = json.loads((run.path / "verdict.json").read_text())
    jsonschema.validate(judged, schema())
    assert judged["run"]["points"] == own["points"]


@pytest.mark.parametrize(
    "change",
    [{"status": "GREEN"}, {"kind": "other"}, {"schema_version": 2}, {"pairs": "six"}, {"metrics": [{}]}, {"run": 3}],
)
def test_the_schema_refuses_what_no_gate_writes(change: dict[str, object]) -> None:
    content = json.loads(verdict_json.gate_json(GATES["pass"])) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


@pytest.mark.parametrize("field", ["status", "metrics", "kind", "exit_code", "testbed", "run"])
def test_the_schema_asks_for_every_field(field: str) -> None:
    content = json.loads(verdict_json.gate_json(GATES["pass"]))
    del content[field]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


def test_the_shipped_schema_is_what_the_types_say() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == schema_text(), "harness schema verdict > reports/verdict.schema.json"
    jsonschema.Draft202012Validator.check_schema(schema())
    assert CliRunner().invoke(schema_command, ["verdict", "--check"]).exit_code == 0
    assert CliRunner().invoke(schema_command, ["verdict"]).output == schema_text()
    assert '"title": "Scenario' in CliRunner().invoke(schema_command, []).output


def test_a_gate_keeps_what_the_run_said_and_a_rebuilt_report_keeps_the_gate(run: RunFolder) -> None:
    own = json.loads(run_verdict_json(assess(run)))
    writer.write(GATES["fail"], run.path)
    write_files(run, assess(run))  # harness report
    content = json.loads((run.path / "verdict.json").read_text())
    assert (content["kind"], content["status"], content["exit_code"]) == ("gate", "FAIL", 1)
    assert content["run"] == {name: own[name] for name in own if name not in ("kind", "schema_version")}
    shown = view_of(run, assess(run))
    assert shown.gate is not None
    assert shown.gate.status == "FAIL"


def test_a_second_gate_replaces_the_first_and_not_the_run(run: RunFolder) -> None:
    writer.write(GATES["fail"], run.path)
    writer.write(GATES["pass"], run.path)
    content = json.loads((run.path / "verdict.json").read_text())
    assert content["status"] == "PASS"
    assert set(content["run"]["points"]) == {point.point_id for point in run.manifest().points}


def test_a_run_without_a_gate_says_that_it_is_a_run(run: RunFolder) -> None:
    text = (run.path / "verdict.json").read_text()
    assert json.loads(text)["kind"] == "run"
    assert verdict_json.read(text) is None
    assert view_of(run, assess(run)).gate is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting"),
        ("[]", "no verdict"),
        ('{"status": "PASS", "schema_version": 7}', "schema_version 7"),
        ('{"status": "PASS", "kind": "gate", "gate": "pair", "metrics": 3}', "sentence"),
    ],
)
def test_a_damaged_file_is_named_with_the_next_step(text: str, why: str) -> None:
    with pytest.raises(RunFolderError, match=why) as caught:
        verdict_json.read(text)
    assert "harness report" in str(caught.value.hint)


def test_all_files_are_written_and_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    written = writer.write(GATES["pass"], tmp_path / "new" / "gate")
    assert set(written) == {"verdict.json", "report.html", "summary.md", "junit.xml", "metrics.txt"}
    assert all(path.stat().st_size > 100 for path in written.values())
    assert {path.name for path in (tmp_path / "new" / "gate").iterdir()} == set(written)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot write the verdict"):
        writer.write(GATES["pass"], tmp_path / "file" / "gate")
