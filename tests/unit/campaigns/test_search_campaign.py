"""What a search keeps when its target is lost, does not start, or was INVALID: no probe is lost, none is repeated."""

from __future__ import annotations

import contextlib
import dataclasses
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.campaigns import search
from harness.campaigns.search_probe import Place
from harness.campaigns.search_steps import SearchPace, Wanted, search_settings
from harness.errors import HarnessError, TargetNotReady, UsageError
from harness.records import search_file
from harness.records.manifest import Manifest
from harness.records.search_file import AskedProbe, JudgedProbe, SearchState
from harness.records.store import RunFolder
from harness.scenario.loader import load_text
from tests.oracle.folders import write_run

TEXT = """\
version: 1
name: s
target: {engine: cpu-tiny}
vary: {max_batch_size: [2, 4]}
workload: {input_tokens: 8, output_tokens: 4}
load: {kind: closed_loop, concurrency: [1]}
size: {lowest: 1, highest: 64}
objectives: [{metric: time_to_first_token, statistic: p90, at_most_ms: 5}]
"""
KEY = "max_batch_size-2"


class _Silent:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, text: str) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


def _judged(load: float, answer: str, number: int = 0) -> JudgedProbe:
    probe = {"number": number, "load": load, "purpose": "bracket", "confidence": 0.95, "requests": 116}
    result = {"answer": answer, "detail": "seen", "validity": "VALID", "goodput": load}
    return JudgedProbe(probe, f"p{load:g}-{number}", result | {"output_token_throughput": load, "per_user": 1.0})


@dataclasses.dataclass
class _Stage:
    """A search whose starts and probes are given."""

    folder: RunFolder
    display: _Silent
    turn: Any
    fails_after: int = 0  # probes that are answered before the target is lost
    start_fails: HarnessError | None = None

    def run(self, label: str = "max_batch_size 2") -> Manifest:
        return search._configuration(self.turn, self.folder.manifest(), Wanted(KEY, label))

    @property
    def state(self) -> SearchState:
        return search_file.read(self.folder)[KEY]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Stage:
    loaded = load_text(TEXT, Path("s.yaml"))
    size = loaded.scenario.size
    assert size is not None
    folder, display = RunFolder.open(write_run(tmp_path / "run")), _Silent()
    work = types.SimpleNamespace(
        scenario=loaded.scenario, folder=folder, display=display, interruption=types.SimpleNamespace(requested=False)
    )
    settings = search_settings(loaded.scenario, size)
    turn = types.SimpleNamespace(
        work=work, size=size, settings=settings, pace=SearchPace(size, settings), number=0, waiting=0
    )
    made = _Stage(folder, display, turn)
    target = types.SimpleNamespace(deployment=types.SimpleNamespace(deployment_id=KEY))

    @contextlib.contextmanager
    def opened(*_: Any) -> Iterator[tuple[Any, Manifest]]:
        if made.start_fails is not None:
            raise made.start_fails
        yield types.SimpleNamespace(work=work, target=target), folder.manifest()

    def ask(place: Place, manifest: Manifest, state: SearchState, step: Any) -> tuple[Manifest, SearchState]:
        asked = AskedProbe(dataclasses.asdict(step), f"p{step.load:g}-{step.number}", step.number)
        return manifest, place.keep(dataclasses.replace(state, asked=asked))

    def answer(place: Place, manifest: Manifest, state: SearchState) -> tuple[Manifest, SearchState]:
        if made.fails_after == 0:
            raise TargetNotReady("the connection was reset", hint="look")
        made.fails_after -= 1
        assert state.asked is not None
        load = state.asked.probe["load"]
        return manifest, place.keep(state.with_answer(_judged(load, "held" if load <= 8 else "lost").result))

    monkeypatch.setattr(search, "_opened", opened)
    monkeypatch.setattr(search, "files_read", lambda scenario, _: scenario)
    monkeypatch.setattr(search, "ask", ask)
    monkeypatch.setattr(search, "answer", answer)
    return made


def test_a_target_lost_under_load_keeps_its_probes_and_is_searched_on_in_the_next_session(stage: _Stage) -> None:
    stage.fails_after = 3
    stage.run()
    assert [each.probe["load"] for each in stage.state.history] == [1, 2, 4]
    assert stage.state.went_away == "went away under load: the connection was reset"
    assert stage.state.failure is None
    assert stage.state.asked is not None, "the probe it was lost in is asked for again"
    assert not search._has_ended(stage.state)
    lost_in, stage.fails_after = stage.state.asked.point_id, 40
    stage.run()
    assert stage.state.history[3].point_id == lost_in
    assert stage.state.went_away is None
    assert stage.state.found is not None
    assert stage.state.found["load"] == 8
    points = [each.point_id for each in stage.state.history]
    assert len(set(points)) == len(points)
    assert search._has_ended(stage.state)


@pytest.mark.parametrize(
    ("error", "words"),
    [(TargetNotReady("no memory", hint="-"), "does not start: no memory"), (UsageError("bad", hint="-"), "does not")],
)
def test_a_configuration_that_does_not_start_is_a_result(stage: _Stage, error: HarnessError, words: str) -> None:
    stage.start_fails = error
    stage.run()
    assert (stage.state.failure or "").startswith(words)
    assert search._has_ended(stage.state)
    assert stage.display.notes[-1].startswith("max_batch_size 2: does not start")


def test_without_vary_the_error_is_the_users(stage: _Stage) -> None:
    stage.fails_after = 2
    with pytest.raises(TargetNotReady, match="reset"):
        stage.run(label="")
    assert len(stage.state.history) == 2
    assert stage.state.asked is not None


def test_invalid_probes_are_set_aside_when_another_session_tries_again(stage: _Stage) -> None:
    held = [_judged(load, "held", number) for number, load in enumerate((1.0, 2.0))]
    invalid = [_judged(4.0, "invalid", number) for number in (2, 3, 4)]
    given_up = {"load": None, "low": None, "high": None, "why": "-", "probes": 5, "status": "invalid"}
    before = SearchState("max_batch_size 2", KEY, (*held, *invalid), found=given_up)
    search_file.write(stage.folder, KEY, before)
    assert not search._has_ended(before)
    stage.fails_after = 40
    stage.run()
    assert stage.state.set_aside == tuple(invalid)
    assert stage.state.history[:2] == tuple(held)
    assert stage.state.found is not None
    assert stage.state.found["load"] == 8


def test_a_search_whose_every_probe_was_invalid_begins_anew(stage: _Stage) -> None:
    given_up = {"load": None, "low": None, "high": None, "why": "-", "probes": 3, "status": "invalid"}
    invalid = tuple(_judged(1.0, "invalid", number) for number in range(3))
    search_file.write(stage.folder, KEY, SearchState("", KEY, invalid, found=given_up))
    stage.fails_after = 40
    stage.run()
    assert stage.state.set_aside == invalid
    assert stage.state.found is not None
    assert stage.state.found["status"] == "found"


def test_after_each_probe_the_person_who_waits_is_told_how_much_is_left(stage: _Stage) -> None:
    stage.fails_after = 40
    stage.run()
    notes = stage.display.notes
    assert notes[0].startswith("bracket 1: held, seen (about ")
    assert notes[-1].startswith("max_batch_size 2: 8 held and was confirmed 2 times; 9 was lost")
