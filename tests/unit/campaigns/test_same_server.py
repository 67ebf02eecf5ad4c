"""What `--resume` calls another server, and what only lies elsewhere."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from harness.campaigns.same_server import changes, note
from harness.records.manifest import Deployment

CONFIGURATION: dict[str, Any] = {
    "max_batch_size": 16,
    "input": [{"name": "text_input", "data_type": "TYPE_STRING"}],
    "parameters": {
        "engine_dir": {"string_value": "/cache/one/models/llama-6250b703a278"},
        "socket_path": {"string_value": "/tmp/harness-chrfyk1y/engine.sock"},
        "scratch": {"string_value": "/tmp/harness-chrfyk1y/"},
        "address": {"string_value": "http://127.0.0.1:43809"},
    },
}
BEFORE = Deployment(
    "cpu-tiny-1",
    "embedded",
    "ensemble",
    "127.0.0.1:43809",
    "triton_grpc",
    engine_hash="357466f7c464b609",
    server={"name": "triton", "version": "2.53.0", "configurations": {"ensemble": CONFIGURATION}},
    settings={"max_batch_size": 16, "engine_dir": "/cache/one/models/llama-6250b703a278"},
    start_phases={"ready": 2.0},
)


def _with(path: tuple[str | int, ...], value: Any) -> Deployment:
    """The server with one value of its description changed."""
    server = copy.deepcopy(BEFORE.server)
    inner: Any = server
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return dataclasses.replace(BEFORE, server=server)


def test_another_start_in_other_folders_and_on_other_ports_is_the_same_server() -> None:
    moved = copy.deepcopy(CONFIGURATION)
    moved["parameters"] = {
        "engine_dir": {"string_value": "/elsewhere/models/llama-6250b703a278"},
        "socket_path": {"string_value": "/tmp/harness-ab_9k1yz/engine.sock"},
        "scratch": {"string_value": "/tmp/harness-ab_9k1yz"},
        "address": {"string_value": "http://127.0.0.1:5"},
    }
    now = dataclasses.replace(
        BEFORE,
        url="127.0.0.1:5",
        start_phases={"ready": 9.0},
        server={**BEFORE.server, "configurations": {"ensemble": moved}},
        settings={"max_batch_size": 16, "engine_dir": "/elsewhere/models/llama-6250b703a278"},
    )
    assert changes(BEFORE, now) == []
    assert note(2, "server", BEFORE, now) is None


PARAMETERS = ("configurations", "ensemble", "parameters")


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (_with(("version",), "2.54.0"), ["server.version: 2.53.0, now 2.54.0"]),
        (_with(("configurations", "ensemble", "max_batch_size"), 8), ["max_batch_size: 16, now 8"]),
        (_with((*PARAMETERS, "engine_dir", "string_value"), "/cache/one/models/llama-other"), ["llama-other"]),
        (_with((*PARAMETERS, "address", "string_value"), "http://10.0.0.7:43809"), ["10.0.0.7:43809"]),
        (_with(("configurations", "ensemble", "input", 0, "data_type"), "TYPE_INT32"), ["TYPE_INT32"]),
        (_with(("configurations", "more"), {}), ["configurations.more: (not told), now {}"]),
        (dataclasses.replace(BEFORE, engine_hash="0"), ["engine_hash: 357466f7c464b609, now 0"]),
        (dataclasses.replace(BEFORE, settings={}), ["settings.engine_dir", "settings.max_batch_size: 16, now (not"]),
    ],
)
def test_a_true_difference_is_named(now: Deployment, told: list[str]) -> None:
    found = changes(BEFORE, now)
    assert len(found) == len(told)
    assert all(part in text for part, text in zip(told, found, strict=True))


def test_the_note_names_a_few_differences_and_counts_the_others() -> None:
    now = dataclasses.replace(BEFORE, model="other", protocol="openai", engine_hash="0", settings={})
    text = note(3, "baseline", BEFORE, now)
    assert text is not None
    assert text.startswith("attempt 3: the baseline describes itself differently than before: model: ensemble, now")
    assert text.endswith("and 2 more")
