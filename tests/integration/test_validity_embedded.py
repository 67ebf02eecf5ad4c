"""Validity reasons that only a real engine can give: other people's requests, a warm KV cache, a queue that grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engine.load import load_engine
from harness.resources import find_named
from harness.target.embedded import EmbeddedTarget
from harness.target.endpoint import Endpoint

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SCENARIO = """\
version: 1
name: {name}
target: {{attach: {{name: shared, url: "{url}", metrics_url: "{metrics}", tokenizer: "{tokenizer}"}}}}
workload: {{input_tokens: 96, output_tokens: 32{prompts}}}
load: {load}
phases: {{warm_up_s: 1, window_s: {window_s}, drain_limit_s: 6}}
telemetry: {{period_s: 0.5}}
"""
USERS = "{{kind: closed_loop, concurrency: {users}, max_requests: 600}}"
OPEN = "{{kind: open_loop, arrivals: {{process: poisson, request_rate_per_s: {rate}}}}}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An embedded Triton whose engine reuses its KV cache."""
    text = find_named("engines", "cpu-tiny").read_text()
    spec = tmp_path_factory.mktemp("engine") / "cpu-reuse.yaml"
    text = text.replace("name: cpu-tiny", "name: cpu-reuse")
    spec.write_text(text.replace("enable_kv_cache_reuse: false", "enable_kv_cache_reuse: true"))
    with EmbeddedTarget(load_engine(str(spec)), "ensemble", progress=lambda _: None) as target:
        yield target.endpoint


def _start(
    cwd: Path, server: Endpoint, name: str, load: str, *, prompts: str = "", window_s: float = 6
) -> subprocess.Popen[str]:
    where = {"url": server.url, "metrics": server.metrics_url, "tokenizer": server.tokenizer}
    text = SCENARIO.format(name=name, load=load, prompts=prompts, window_s=window_s, **where)
    (cwd / f"{name}.yaml").write_text(text)
    command = [sys.executable, "-m", "harness.cli.main", "run", f"{name}.yaml", "--allow-invalid"]
    env = os.environ | {"HARNESS_STATE": str(cwd / "state")}
    return subprocess.Popen(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _finish(cwd: Path, name: str, child: subprocess.Popen[str]) -> dict[str, str]:
    output, _ = child.communicate(timeout=150)
    assert child.returncode == 0, output
    (folder,) = cwd.glob(f"runs/*-{name}-*")
    (point,) = json.loads((folder / "verdict.json").read_text())["points"].values()
    return {reason["code"]: reason["message"] for reason in point["validity"]["reasons"]}


def test_other_peoples_requests_and_their_warm_cache_are_seen(server: Endpoint, tmp_path: Path) -> None:
    alone = _finish(tmp_path, "alone", _start(tmp_path, server, "alone", USERS.format(users=3)))
    assert not alone.keys() & {"server_in_flight", "kv_cache_reuse"}
    shared = ", prompts: {kind: shared_prefix, prefixes: 1, prefix_tokens: 64}"
    others = _start(
        tmp_path, server, "others", USERS.format(users=12).replace("600", "6000"), prompts=shared, window_s=60
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("runs/*-others-*/parts/requests-*")):
            assert time.monotonic() < deadline, "the other client never began"
            time.sleep(0.2)
        beside = _finish(tmp_path, "beside", _start(tmp_path, server, "beside", USERS.format(users=3)))
        assert others.poll() is None, "the other client was still at work"
    finally:
        others.terminate()
        others.communicate(timeout=60)
    assert "server_in_flight" in beside
    assert "kv_cache_reuse" in beside


def test_a_rate_beyond_capacity_is_unstable_and_shows_no_percentile(server: Endpoint, tmp_path: Path) -> None:
    calm = _finish(tmp_path, "calm", _start(tmp_path, server, "calm", OPEN.format(rate=8), window_s=8))
    assert "unstable" not in calm
    beyond = _finish(tmp_path, "beyond", _start(tmp_path, server, "beyond", OPEN.format(rate=200), window_s=8))
    assert "unstable" in beyond
    (folder,) = tmp_path.glob("runs/*-beyond-*")
    (point,) = json.loads((folder / "metrics.json").read_text())["points"]
    assert "kept growing" in point["metrics"]["time_to_first_token"]["p50"]["reason"]
    assert point["metrics"]["output_token_throughput"]["value"]["value"] > 0
