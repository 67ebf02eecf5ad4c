"""Workloads from the scenario file to what the truth server received: replies, tenants, files, traces, processes.

The truth server asserts nothing about prompts; what it counts and logs is compared with the records and the plan.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.records.store import RunFolder
from harness.truth import process
from harness.truth.behaviour import Behaviour
from harness.truth.sent_log import SentRequest

pytestmark = pytest.mark.integration

PACED = Behaviour(time_to_first_token_s=0.02, inter_token_s=0.004)
HEAD = """\
version: 1
name: end-to-end
target: {{attach: {{name: truth, url: "127.0.0.1:{port}"{attach}}}}}
phases: {{warm_up_s: 0.3, window_s: 2, drain_limit_s: 2}}
telemetry: {{period_s: 0.2}}
"""
OPEN = "load: {kind: open_loop, arrivals: {process: constant, request_rate_per_s: 20}}\n"


def _run(folder: Path, body: str, attach: str = "", **environment: str) -> tuple[RunFolder, list[SentRequest]]:
    """`harness run` of this scenario against a truth server; the run folder and what the server logged."""
    with process.start(PACED, folder / "truth.log") as server:
        scenario = folder / "end-to-end.yaml"
        scenario.write_text(HEAD.format(port=server.port, attach=attach) + body)
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli.main", "run", str(scenario), "--allow-invalid"],
            cwd=folder,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        log = server.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (folder / "runs").iterdir()
    return RunFolder.open(run), log


def _requests(run: RunFolder) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run.requests().to_pylist()
    assert len(rows) > 20, "an empty run proves nothing"
    return rows


def _reasons(run: RunFolder) -> dict[str, str]:
    verdict = json.loads((run.path / "verdict.json").read_text())
    (point,) = verdict["points"].values()
    return {reason["code"]: reason["message"] for reason in point["validity"]["reasons"]}


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm"])
def test_a_turn_repeats_the_prompt_and_the_real_reply_before_it(tmp_path: Path, model: str) -> None:
    body = """\
workload:
  input_tokens: 12
  output_tokens: 10
  sessions: {turns: 3, new_input_tokens: 5, history: reply}
load: {kind: closed_loop, concurrency: 2, max_requests: 600}
"""
    run, log = _run(tmp_path, body, f", model: {model}")
    received = {sent.request_id: sent.input_tokens for sent in log}
    later = [row for row in _requests(run) if row["turn"] and row["outcome"] == "ok"]
    assert len(later) > 20
    assert {(row["turn"], received[row["request_id"]]) for row in later} == {(1, 12 + 10 + 5), (2, 27 + 10 + 5)}
    assert {row["input_tokens_asked"] for row in later} == {27, 42}
    assert {row["input_tokens_client"] for row in later} == {None}, "nobody counted them here"
    assert "token_counts" not in _reasons(run)


def test_each_tenants_headers_travel_and_stay_out_of_every_file(tmp_path: Path) -> None:
    body = """\
workload:
  parts:
    - {name: chat, input_tokens: 12, output_tokens: 5}
    - {name: document, input_tokens: 40, output_tokens: 5}
load:
  kind: multi_tenant
  tenants:
    - name: people
      parts: [chat]
      arrivals: {process: constant, request_rate_per_s: 15}
      headers: {authorization: "Bearer ${KEY_OF_PEOPLE}"}
    - name: batch
      parts: [document]
      arrivals: {process: constant, request_rate_per_s: 10}
"""
    given = {"KEY_OF_PEOPLE": "not-to-be-kept"}
    run, log = _run(tmp_path, body, **given)
    rows = _requests(run)
    assert {(row["tenant"], row["input_tokens_asked"]) for row in rows} == {("people", 12), ("batch", 40)}
    assert {row["outcome"] for row in rows if row["phase"] == "window"} == {"ok"}
    assert len(log) >= len([row for row in rows if row["outcome"] == "ok"])
    assert "achieved_rate" not in _reasons(run)
    for path in run.path.rglob("*"):
        assert path.is_dir() or b"not-to-be-kept" not in path.read_bytes(), path


def test_texts_of_a_file_are_sent_as_they_are(tmp_path: Path) -> None:
    texts = ["one two three", "four five six seven eight", "nine"]
    lines = [json.dumps({"prompt": text, "output_tokens": 4}) for text in texts]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    body = """\
workload:
  input_tokens: {distribution: recorded}
  output_tokens: {distribution: recorded}
  prompts: {kind: from_file, file: prompts.jsonl}
"""
    run, log = _run(tmp_path, body + OPEN)
    rows, sizes = _requests(run), {sent.request_id: sent.input_tokens for sent in log}
    seeds = dict(zip(run.plan()["index"].to_pylist(), run.plan()["prompt_seed"].to_pylist(), strict=True))
    answered = [row for row in rows if row["outcome"] == "ok"]
    assert {sizes[row["request_id"]] for row in answered} == {3, 5, 1}
    for row in answered:
        assert sizes[row["request_id"]] == len(texts[seeds[row["index"]]].split())


def test_the_share_of_traced_requests_carries_the_planned_traceparent(tmp_path: Path) -> None:
    body = "workload: {input_tokens: 12, output_tokens: 5}\nrequest: {trace_share: 0.5}\n" + OPEN
    run, log = _run(tmp_path, body)
    traced = dict(zip(run.plan()["index"].to_pylist(), run.plan()["traced"].to_pylist(), strict=True))
    carried = {int(sent.request_id.rsplit("/", 1)[1]): sent.traceparent for sent in log}
    assert len(_requests(run)) <= len(carried) + 3
    assert {index: value is not None for index, value in carried.items()} == {index: traced[index] for index in carried}
    values = [value for value in carried.values() if value is not None]
    assert 5 < len(values) == len(set(values)) < len(carried)


def test_two_processes_send_every_arrival_of_an_open_loop_once(tmp_path: Path) -> None:
    body = "workload: {input_tokens: 12, output_tokens: 5}\nload_generator: {processes: 2}\n" + OPEN
    run, log = _run(tmp_path, body)
    rows = _requests(run)
    assert {row["worker"] for row in rows} == {0, 1}
    assert sum(row["phase"] == "window" for row in rows) == 40, "20 per second for 2 seconds"
    assert len({row["index"] for row in rows}) == len(rows)
    names = [sent.request_id for sent in log]
    assert len(set(names)) == len(names)
    assert {"lost_records", "achieved_rate", "unsent_arrivals"}.isdisjoint(_reasons(run))
