"""How every gate ends: files, words, exit code, and what the pipeline around it is told."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "golden"))

from fixture_run import Options, write_fixture_run
from gate_verdicts import verdicts

from harness.cli.gate_outcome import conclude, pipeline_options
from harness.errors import Ending, RunFolderError
from harness.report.gate.annotations import SUMMARY_BYTES

GATES = verdicts()
SMALL = Options(concurrencies=(4,), workloads=(("short", 64, 7),), repetitions=1)


@pytest.fixture(autouse=True)
def no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def concluded(name: str, folder: Path, **settings: object) -> tuple[Ending, str]:
    text = io.StringIO()
    console = Console(file=text, width=100, color_system=None, soft_wrap=True)
    return conclude(GATES[name], folder, console, **settings), text.getvalue()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "code"), [("pass", 0), ("fail", 1), ("invalid", 3), ("inconclusive", 4), ("not-comparable", 4)]
)
def test_the_exit_code_is_that_of_the_verdict_and_the_last_lines_name_the_files(
    tmp_path: Path, name: str, code: int
) -> None:
    ending, text = concluded(name, tmp_path / "gate")
    assert ending.code == code
    assert text.splitlines()[-2:] == [
        f"report: {tmp_path / 'gate' / 'report.html'}",
        f"verdict: {tmp_path / 'gate' / 'verdict.json'}",
    ]
    assert "::" not in text


def test_a_run_folder_gets_the_whole_report_with_the_gate_and_a_copy_holds_the_gate_alone(tmp_path: Path) -> None:
    run = write_fixture_run(tmp_path / "run", SMALL)
    concluded("fail", run.path, output=tmp_path / "copy", junit=tmp_path / "deep" / "gate.xml")
    report = (run.path / "report.html").read_text()
    assert 'id="gate"' in report
    assert 'id="points"' in report
    assert (run.path / "summary.md").read_text().startswith("# ❌ FAIL: ")
    assert {path.name for path in run.path.iterdir()} >= {"metrics.json", "requests.csv", "junit.xml", "metrics.txt"}
    assert json.loads((run.path / "verdict.json").read_text())["run"]["points"]
    alone = (tmp_path / "copy" / "report.html").read_text()
    assert 'id="gate"' in alone
    assert 'id="points"' not in alone
    assert (tmp_path / "deep" / "gate.xml").read_bytes() == (run.path / "junit.xml").read_bytes()


def test_strict_reaches_junit(tmp_path: Path) -> None:
    concluded("inconclusive", tmp_path, strict=True)
    assert "<error" in (tmp_path / "junit.xml").read_text()


def test_inside_github_the_log_has_annotations_and_the_step_its_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "step.md"
    summary.write_text("earlier\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    _, text = concluded("fail", tmp_path / "gate")
    annotations = [line for line in text.splitlines() if line.startswith("::")]
    assert annotations[0].startswith("::error title=harness gate%3A FAIL::the candidate is worse")
    assert summary.read_text().startswith("earlier\n# ❌ FAIL: the candidate is worse")


def test_the_summary_of_a_step_never_passes_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "step.md"
    summary.write_text("x" * (SUMMARY_BYTES - 600))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    concluded("not-comparable", tmp_path / "gate")
    assert SUMMARY_BYTES - 600 < summary.stat().st_size <= SUMMARY_BYTES
    assert "did not fit" in summary.read_text()


def test_outside_a_pipeline_it_can_be_asked_for_and_inside_be_turned_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "::error" in concluded("invalid", tmp_path, github=True)[1]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    assert "::error" not in concluded("invalid", tmp_path, github=False)[1]
    assert not (tmp_path / "step.md").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"file/gate\.xml"):
        concluded("pass", tmp_path / "gate", junit=tmp_path / "file" / "gate.xml")


def test_every_gate_can_offer_the_same_options() -> None:
    @click.command()
    @pipeline_options
    def some_gate(output: Path | None, junit: Path | None, strict: bool) -> None:
        click.echo(f"{output} {junit} {strict}")

    result = CliRunner().invoke(some_gate, ["--output", "gate", "--strict"])
    assert result.output == "gate None True\n"
