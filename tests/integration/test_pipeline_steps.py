"""Every shell step of the shipped pipelines, run by a shell as its system would, against real servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.truth import process
from harness.truth.behaviour import Behaviour

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "report"))

from pipeline_steps import ARGO, GITHUB, GITLAB, JENKINS, Step, steps

pytestmark = pytest.mark.integration

PACED = Behaviour(time_to_first_token_s=0.016, inter_token_s=0.004)
SLOWER = Behaviour(time_to_first_token_s=0.04, inter_token_s=0.010)  # 2.5 times
SHELLS = {  # as the systems start them: GitHub in a container, GitLab's runner, Jenkins' durable task, Argo's `command`
    GITHUB: ["sh", "-e", "-c"],
    GITLAB: ["bash", "-e", "-o", "pipefail", "-c"],
    JENKINS: ["sh", "-x", "-e", "-c"],
    ARGO: ["sh", "-c"],
}
SCENARIO = """\
version: 1
name: pipeline
target: {{attach: {{name: truth, url: "127.0.0.1:{port}"}}}}
workload: {{input_tokens: 12, output_tokens: 6}}
load: {{kind: closed_loop, concurrency: 4, max_requests: 1000}}
phases: {{warm_up_s: 0.2, window_s: 0.4}}
request: {{timeout_s: 10}}
telemetry: {{period_s: 0.2}}
gate: {{looks: [4]}}
"""
FILES = {"verdict.json", "report.html", "summary.md", "junit.xml", "metrics.txt"}
PAIR, RUN, JUDGE, SERVE = "harness gate pair", "harness run", "harness gate run", "harness gate serve"


@dataclass
class Place:
    """A workspace of a pipeline, with `harness` on its PATH. `ran`: the steps that were run here."""

    folder: Path
    variables: Mapping[str, str]
    ran: list[Step] = field(default_factory=list)

    def command(self, step: Step, **more: str) -> subprocess.Popen[str]:
        """The step, started."""
        self.ran.append(step)
        return subprocess.Popen(
            [*SHELLS[step.system], step.script],
            cwd=self.folder,
            env={**os.environ, **self.variables, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, step: Step, **more: str) -> tuple[int, str]:
        """Exit code and output of the step."""
        child = self.command(step, **more)
        output, _ = child.communicate(timeout=120)
        return child.returncode, output


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A workspace with a scenario, two servers behind it, and this harness as the command of that name."""
    folder = tmp_path_factory.mktemp("pipeline")
    program = folder / "bin" / "harness"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.cli.main "$@"\n')
    program.chmod(0o755)
    with process.start(PACED, folder / "a.log") as baseline, process.start(SLOWER, folder / "b.log") as candidate:
        (folder / "gate.yaml").write_text(SCENARIO.format(port=baseline.port))
        yield Place(
            folder,
            {
                "PATH": f"{program.parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
                "SCENARIO": "gate.yaml",
                "BASELINE": f"127.0.0.1:{baseline.port}",
                "CANDIDATE": f"127.0.0.1:{candidate.port}",
                "GITHUB_ACTIONS": "",
                "GITHUB_STEP_SUMMARY": "",
            },
        )


def distinct(*parts: str) -> list[Step]:
    """The steps that hold all of this, those of the same text once."""
    holding = [step for step in steps() if all(part in step.script for part in parts)]
    return list({" ".join(step.script.split()): step for step in holding}.values())


def lines(step: Step) -> list[str]:
    """The commands of a step; in all of them but Argo's a line is a command by itself."""
    return [line.strip() for line in step.script.splitlines()]


def verdict_in(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "verdict.json").read_text())
    return content


def test_a_promotion_measures_pairs_and_argo_asks_the_server_for_the_verdict(place: Place) -> None:
    """Argo's step; the line that measures is the same in every system."""
    (measure,) = distinct("$VERDICT", PAIR)
    summary, kept = place.folder / "step.md", place.folder / "verdicts" / "release-1"
    code, output = place.run(measure, VERDICT=str(kept), GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert code == 0, output
    verdict = verdict_in(place.folder / "gate")
    assert verdict["status"] in ("FAIL", "INCONCLUSIVE", "INVALID")  # 2.5 times slower is never a PASS
    assert {path.name for path in (place.folder / "gate").iterdir()} == FILES
    assert re.search(rf"^::(error|warning) title=harness gate%3A {verdict['status']}::", output, re.MULTILINE)
    assert verdict["status"] in summary.read_text().splitlines()[0]
    assert verdict_in(kept) == verdict
    assert _asked(place, kept) == verdict["status"].lower()


def _asked(place: Place, kept: Path) -> str:
    """What `harness gate serve` answers about the verdict kept in this folder, as Argo's web provider asks."""
    (serve,) = distinct(SERVE)
    child = place.command(serve, VERDICTS=str(kept.parent), HOST="127.0.0.1", PORT="0")
    try:
        assert child.stdout is not None
        url = re.search(r"at (http://\S+)/verdicts", child.stdout.readline())
        assert url is not None
        with urllib.request.urlopen(f"{url[1]}/verdicts/{kept.name}", timeout=10) as answer:
            said: str = json.load(answer)["result"]["verdict"]
    finally:
        child.terminate()
        rest, _ = child.communicate(timeout=20)
    assert (child.returncode, rest.splitlines()[-1]) == (0, "stopped")
    return said


def test_a_gate_that_could_not_measure_ends_the_step_with_its_code_and_leaves_no_old_verdict(place: Place) -> None:
    kept = place.folder / "verdicts" / "release-2"
    kept.mkdir(parents=True)
    (kept / "verdict.json").write_text("{}")
    for step in distinct(PAIR):
        shutil.rmtree(place.folder / "gate", ignore_errors=True)
        code, output = place.run(step, VERDICT=str(kept), SCENARIO="missing.yaml")
        assert code == 2, output
    assert not kept.exists()


def test_the_everyday_steps_judge_the_run_that_they_measured(place: Place) -> None:
    (place.folder / "runs" / "zz-stale").mkdir(parents=True, exist_ok=True)
    (measure,) = [step for step in steps() if step.system == GITHUB and RUN in step.script]
    (judge,) = [step for step in steps() if step.system == GITHUB and JUDGE in step.script]
    code, output = place.run(measure)
    assert code == 0, output
    (run,) = (place.folder / "runs").iterdir()
    code, output = place.run(judge, BASELINE_FILE=str(_accepted(place, run)))
    verdict = verdict_in(place.folder / "gate")
    assert code == verdict["exit_code"] == 4, output  # one accepted run is too few
    assert verdict["gate"] == "run"
    assert {path.name for path in (place.folder / "gate").iterdir()} == FILES


def _accepted(place: Place, run: Path) -> Path:
    """The run as the first of a baseline; the path of that file."""
    root = place.folder / "baselines"
    program = str(place.folder / "bin" / "harness")
    command = [program, "baseline", "accept", str(run), "--reason", "first", "--baselines", str(root)]
    environment = {**os.environ, **place.variables}
    done = subprocess.run(command, env=environment, cwd=place.folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = root.rglob("*.json")
    return file


def test_no_step_was_forgotten(place: Place) -> None:
    """Stands last: every line of every system was run above, those of the same text once."""
    ran = {line for step in place.ran for line in lines(step)}
    assert {line for step in steps() for line in lines(step)} <= ran
