"""The engine process without Triton: its settings mean what TensorRT-LLM's mean, on the real OpenVINO engine.

The tests speak to its socket through engines/server/channel.py, as the Triton models do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from embedded_server import SERVER_DIR, SETTINGS, build_model, server_python

sys.path.insert(0, str(SERVER_DIR))
from channel import EngineChannel, EngineGone, open_channel
from generation import GenerationRequest

pytestmark = pytest.mark.integration
ENGINE_SETTINGS = {
    name: text
    for name, text in SETTINGS.items()
    if name not in ("triton_max_batch_size", "cancellation_check_period_ms")
}


class Collected:
    """A receiver that keeps what it got."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.instants_s: list[float] = []
        self.error: str | None = None
        self.ended = threading.Event()

    def advance(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.instants_s.append(time.perf_counter())
        if row["finish"] or "error" in row:
            self.error = row.get("error")
            self.ended.set()

    def fail(self, message: str) -> None:
        self.error = message
        self.ended.set()

    def tokens(self) -> list[int]:
        assert self.ended.wait(30), "no end"
        return [token for row in self.rows for token in row["tokens"]]


class Running:
    """An engine process and a channel to it, with all statistics it sent."""

    def __init__(self, channel: EngineChannel, statistics: list[dict[str, Any]]) -> None:
        self.channel, self.statistics = channel, statistics

    def ask(self, prompt_tokens: int, count: int, salt: int = 0) -> Collected:
        ids = [(31 * i + 7 * salt * i + salt) % 4000 + 3 for i in range(prompt_tokens)]
        receiver = Collected()
        self.channel.submit(GenerationRequest(ids, count, time.monotonic_ns()), receiver)
        return receiver


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "m1"
    build_model(server_python(), out)
    return out


@contextmanager
def engine(model_dir: Path, folder: Path, **settings: str) -> Iterator[Running]:
    """Raises EngineGone if it refuses to start."""
    path = str(folder / "engine.sock")
    command = [
        str(server_python()),
        str(SERVER_DIR / "engine_process.py"),
        "--socket",
        path,
        "--engine-dir",
        str(model_dir),
    ]
    command += ["--settings", json.dumps({**ENGINE_SETTINGS, **settings}), "--parent", str(os.getpid())]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    statistics: list[dict[str, Any]] = []
    try:
        channel = open_channel(path, 20, "tensorrt_llm", on_statistics=statistics.append)
        yield Running(channel, statistics)
        settle(statistics)
        channel.close(shutdown=True)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def settle(statistics: list[dict[str, Any]]) -> None:
    """Until the engine has said that nothing runs."""
    end = time.monotonic() + 5
    while not statistics or statistics[-1]["request"]["active"]:
        assert time.monotonic() < end, "never idle"
        time.sleep(0.01)


def seen(running: Running, part: str, name: str) -> list[float]:
    return [message[part][name] for message in running.statistics]


SMALL_CACHE = {"max_batch_size": "8", "max_seq_len": "512", "max_tokens_in_paged_kv_cache": "1024"}


def test_guaranteed_no_evict_lets_in_only_what_fits_to_its_end(model_dir: Path, tmp_path: Path) -> None:
    with engine(model_dir, tmp_path, **SMALL_CACHE) as running:
        answers = [running.ask(32, 400, salt) for salt in range(4)]  # 14 blocks each of 32: two at a time
        assert [len(answer.tokens()) for answer in answers] == [400] * 4
    assert max(seen(running, "request", "scheduled")) == 2
    assert max(seen(running, "request", "waiting")) == 2
    assert max(seen(running, "inflight_batcher", "paused_requests")) == 0
    assert seen(running, "kv_cache_block", "used")[-1] == 0


def test_max_utilization_lets_in_what_fits_now_and_pauses_later(model_dir: Path, tmp_path: Path) -> None:
    with engine(model_dir, tmp_path, **SMALL_CACHE, batch_scheduler_policy="max_utilization") as running:
        answers = [running.ask(32, 400, salt) for salt in range(4)]
        assert [len(answer.tokens()) for answer in answers] == [400] * 4
    assert max(seen(running, "request", "scheduled")) == 4
    assert max(seen(running, "inflight_batcher", "paused_requests")) >= 1


def test_a_long_prompt_is_chunked_beside_running_requests(model_dir: Path, tmp_path: Path) -> None:
    with engine(model_dir, tmp_path, max_num_tokens="128") as running:
        talker = running.ask(16, 400)
        while len(talker.rows) < 5:
            time.sleep(0.005)
        sent_s = time.perf_counter()
        long = running.ask(2000, 4, salt=1)
        assert len(long.tokens()) == 4
        meanwhile = sum(sent_s < instant < long.instants_s[0] for instant in talker.instants_s)
    assert meanwhile >= 2000 // 128


def test_without_chunked_context_a_prompt_beyond_max_num_tokens_is_rejected(model_dir: Path, tmp_path: Path) -> None:
    settings = {"enable_chunked_context": "false", "max_num_tokens": "256"}
    with engine(model_dir, tmp_path, **settings) as running:
        refused = running.ask(257, 4)
        assert refused.tokens() == []
        assert "Prompt length (257) exceeds maximum input length (256)" in str(refused.error)
        assert len(running.ask(256, 4).tokens()) == 4


def test_kv_cache_reuse_makes_a_known_prompt_cheap_and_says_so(model_dir: Path, tmp_path: Path) -> None:
    with engine(model_dir, tmp_path, enable_kv_cache_reuse="true") as running:
        running.ask(1500, 2, salt=5).tokens()
        waits = []
        for salt in (6, 6):
            sent_s = time.perf_counter()
            answer = running.ask(1500, 2, salt)
            answer.tokens()
            waits.append(answer.instants_s[0] - sent_s)
    assert waits[0] > 2 * waits[1]
    assert answer.rows[-1]["reused_blocks"] == 1499 // 32
    assert seen(running, "kv_cache_block", "used")[-1] == 0


def test_max_batch_size_holds_without_and_with_chunked_context(model_dir: Path, tmp_path: Path) -> None:
    for number, chunked in enumerate(("true", "false")):
        folder = tmp_path / str(number)
        folder.mkdir()
        with engine(model_dir, folder, max_batch_size="2", enable_chunked_context=chunked) as running:
            answers = [running.ask(16, 200, salt) for salt in range(5)]
            assert [len(answer.tokens()) for answer in answers] == [200] * 5
        assert max(seen(running, "request", "scheduled")) == 2


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"kv_cache_host_memory_bytes": "1000"}, "cannot honour kv_cache_host_memory_bytes"),
        ({"batch_scheduler_policy": "static"}, "batch_scheduler_policy must be"),
        ({"max_num_tokens": "2"}, "max_num_tokens"),
        ({"enable_chunked_context": "perhaps"}, "enable_chunked_context must be true or false"),
        ({"max_tokens_in_paged_kv_cache": "64"}, "maxTokensInPagedKvCache"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    model_dir: Path, tmp_path: Path, setting: dict[str, str], reason: str
) -> None:
    with pytest.raises(EngineGone, match=reason), engine(model_dir, tmp_path, **setting):
        pass


def test_the_engine_process_does_not_start_without_its_parent(model_dir: Path, tmp_path: Path) -> None:
    command = [
        str(server_python()),
        str(SERVER_DIR / "engine_process.py"),
        "--socket",
        str(tmp_path / "s"),
        "--settings",
        "{}",
    ]
    orphan = subprocess.run([*command, "--engine-dir", str(model_dir), "--parent", "1"], timeout=20, check=False)
    assert orphan.returncode == 1
    assert not (tmp_path / "s").exists()
