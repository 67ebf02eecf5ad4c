"""The answer of a search from constructed states: who is recommended, which margin is real, how the command ends."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.search import Found, Probe
from harness.analysis.sized import SizeAnswer
from harness.assess import sized
from harness.assess.probe import ProbeResult
from harness.errors import Ending
from harness.records import search_file
from harness.records.manifest import Manifest
from harness.records.search_file import JudgedProbe, SearchState
from harness.records.store import RunFolder
from harness.report import size_answer
from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict
from tests.oracle.folders import write_run

SIZE = """\
size: {lowest: 1, highest: 64, mode: MODE}
objectives:
  - {metric: time_to_first_token, statistic: p90, at_most_ms: 5}
  - {metric: error_ratio, at_most_ratio: 0.01}
  - {metric: request_latency, at_most_ms: 9}
"""
CLOSED = "{kind: closed_loop, concurrency: 2}"
OPEN = "{kind: open_loop, arrivals: {process: poisson, request_rate_per_s: 4}}"


def _probe(load: float, answer: str, purpose: str = "bracket", value: float | None = None) -> JudgedProbe:
    value = load if value is None else value
    result = ProbeResult(answer, "seen", "VALID", value, 10 * value, value / 2)  # type: ignore[arg-type]
    probe = Probe(0, load, purpose, 0.95, 100)  # type: ignore[arg-type]
    return JudgedProbe(dataclasses.asdict(probe), f"p-{load}", dataclasses.asdict(result))


def _found(load: float, high: float | None) -> SearchState:
    """A search that ended: the load held and was confirmed twice, `high` was lost."""
    history = [_probe(load, "held"), *([_probe(high, "lost")] if high else [])]
    history += [_probe(load, "held", "confirm"), _probe(load, "held", "confirm")]
    return SearchState("", "d", tuple(history), found=dataclasses.asdict(Found(load, load, high, "it held", 4)))


def _without(status: str, **fields: Any) -> SearchState:
    found = Found(None, fields.get("low"), fields.get("high"), f"it is {status}", 3, status)  # type: ignore[arg-type]
    return SearchState("", "d", (_probe(4, "undecided"),), found=dataclasses.asdict(found))


def _answer(
    tmp_path: Path,
    *,
    mode: str = "objectives",
    open_loop: bool = True,
    gpus: dict[str, int] | None = None,
    **states: SearchState,
) -> tuple[SizeAnswer, RunFolder]:
    folder = RunFolder.open(write_run(tmp_path / f"run{len(list(tmp_path.iterdir()))}"))
    made: Manifest = folder.manifest()
    text = made.scenario_text.replace(CLOSED, OPEN if open_loop else CLOSED) + SIZE.replace("MODE", mode)
    assert OPEN in text or not open_loop
    given = made.deployments[0]
    deployments = [
        dataclasses.replace(given, deployment_id=key, gpu_count=(gpus or {}).get(key), engine_name=key)
        for key in states
    ]
    manifest = dataclasses.replace(made, campaign="size", deployments=deployments)
    for key, state in states.items():
        search_file.write(folder, key, dataclasses.replace(state, label=f"engine {key}", deployment_id=key))
    answer = sized.answer_of(folder, manifest, read_strict(text, Scenario, Path("size.yaml")))
    assert answer is not None
    return answer, folder


def test_states_survive_the_file(tmp_path: Path) -> None:
    _, folder = _answer(tmp_path, a=_found(8, 9), b=_without("undecided"))
    states = search_file.read(folder)
    assert list(states) == ["a", "b"]
    assert states["a"] == dataclasses.replace(_found(8, 9), label="engine a", deployment_id="a")


def test_intervals_that_do_not_overlap_make_a_real_margin(tmp_path: Path) -> None:
    answer, _ = _answer(tmp_path, a=_found(8, 8.4), b=_found(12, 12.6))
    best = answer.recommendation
    assert (best.configuration, best.value, best.margin_is_real) == ("b", 12, True)
    assert best.runner_up is not None
    assert best.runner_up.low == pytest.approx(12 / 8.4 - 1)
    assert best.runner_up.high == pytest.approx(12.6 / 8 - 1)
    assert best.reason == "50.0% ahead of the runner-up, at least 42.9%"


def test_in_a_closed_loop_the_load_is_no_rate_and_drift_is_not_known(tmp_path: Path) -> None:
    answer, _ = _answer(tmp_path, open_loop=False, a=_found(8, 8.4), b=_found(12, 12.6))
    assert answer.recommendation.configuration == "b"
    assert not answer.recommendation.margin_is_real
    assert "how far the machine drifted meanwhile is not known" in answer.recommendation.reason


@pytest.mark.parametrize("high", [None, 16.0])
def test_a_runner_up_that_was_lost_late_or_never_is_not_beaten_for_sure(tmp_path: Path, high: float | None) -> None:
    answer, _ = _answer(tmp_path, a=_found(8, high), b=_found(12, 12.6))
    assert answer.recommendation.configuration == "b"
    assert not answer.recommendation.margin_is_real, "the goodput of three probes hardly varies, the load may"
    assert ("no load was lost" if high is None else "only lost at 16") in answer.recommendation.reason


def test_per_gpu_a_smaller_load_on_fewer_gpus_wins_also_in_its_interval(tmp_path: Path) -> None:
    answer, _ = _answer(tmp_path, gpus={"a": 1, "b": 4}, a=_found(8, 8.4), b=_found(12, 12.6))
    best = answer.recommendation
    assert (answer.divisor, best.configuration, best.value, best.margin_is_real) == ("gpu", "a", 8, True)
    assert best.runner_up is not None
    assert best.runner_up.low == pytest.approx(8 / (12.6 / 4) - 1)
    content = json.loads(sized.to_json(answer))
    assert content["recommendation"]["goodput_per_gpu"] == 8
    assert "per_server" not in json.dumps(content)


@pytest.mark.parametrize(
    ("states", "ending"),
    [
        ({"a": _found(8, 9)}, Ending.PASS),
        ({"a": _found(8, 9), "b": _without("invalid")}, Ending.PASS),
        ({"a": _without("none_holds")}, Ending.FAIL),
        ({"a": _without("none_holds"), "b": SearchState(failure="does not start: no memory")}, Ending.FAIL),
        ({"a": _without("none_holds"), "b": _without("invalid")}, Ending.INVALID),
        ({"a": _without("none_holds"), "b": _without("undecided")}, Ending.INCONCLUSIVE),
        ({"a": SearchState(went_away="went away under load: it crashed")}, Ending.INCONCLUSIVE),
        ({"a": SearchState(history=(_probe(4, "held"),))}, Ending.INCONCLUSIVE),
    ],
)
def test_how_the_command_ends(tmp_path: Path, states: dict[str, SearchState], ending: Ending) -> None:
    answer, _ = _answer(tmp_path, **states)
    assert sized.ending(answer) is ending


def test_the_file_keeps_what_an_undecided_search_knows(tmp_path: Path) -> None:
    answer, _ = _answer(tmp_path, a=_without("undecided", low=4.0, high=16.0))
    (one,) = json.loads(sized.to_json(answer))["configurations"]
    assert (one["load"], one["low"], one["high"], one["status"]) == (None, 4.0, 16.0, "undecided")


def test_probes_that_were_set_aside_stay_in_sight(tmp_path: Path) -> None:
    state = dataclasses.replace(_found(8, 9), set_aside=(_probe(8, "invalid"),))
    answer, _ = _answer(tmp_path, a=state)
    assert answer.configurations[0].probes[0].answer == "invalid"
    assert answer.recommendation.value == 8


@pytest.mark.parametrize(
    ("mode", "name", "value"),
    [("objectives", "goodput_per_server", 8), ("throughput", "output_token_throughput_per_server", 80)],
)
def test_what_is_maximised_depends_on_the_mode(tmp_path: Path, mode: str, name: str, value: float) -> None:
    answer, _ = _answer(tmp_path, mode=mode, a=_found(8, 9))
    assert json.loads(sized.to_json(answer))["recommendation"][name] == value
    answer, _ = _answer(tmp_path, mode="latency", a=_found(8, 9))
    assert json.loads(sized.to_json(answer))["recommendation"]["per_user"] == 4


def test_the_section_says_how_each_objective_was_looked_at_and_who_has_no_answer(tmp_path: Path) -> None:
    answer, _ = _answer(tmp_path, a=_found(8, 9), b=SearchState(went_away="went away under load: it crashed"))
    (view,) = size_answer.views(answer, "runs/x")
    text = " ".join(view.evidence)
    assert "time_to_first_token p90 at most 5 ms;" in text
    assert "error_ratio at most 0.01 (compared as it is, without a test)" in text
    assert "request_latency at most 9 ms (of each request: it defines goodput)" in text
    (warning,) = view.warnings
    assert warning.startswith("Without an answer: engine b (lost under load).")
    assert view.command == "harness engine render runs/x/engines/a.yaml"
    assert view.headline == "8.00 requests/s, engine a"


def test_what_bound_a_configuration_is_looked_at_where_it_gave_way(tmp_path: Path) -> None:
    answer, _ = _answer(tmp_path, a=_found(8, 9), b=_found(12, None))
    given_way, never = answer.configurations
    assert (given_way.bound_at, never.bound_at) == (9, 12)
    assert [bound.by for bound in given_way.bounds] == ["unknown"]
    (view,) = size_answer.views(answer, "runs/x")
    assert all("; bound at" in row[-1] and "unknown: " in row[-1] for row in view.table.rows), (
        "no gauge was read, and that is said"
    )
    assert json.loads(sized.to_json(answer))["configurations"][0]["bound_at"] == 9


@pytest.mark.parametrize(
    ("state", "step"),
    [
        (_without("none_holds"), "lower size.lowest"),
        (_without("undecided"), "size.shortest_window_s"),
        (_without("invalid"), "--resume"),
        (SearchState(failure="does not start: no memory"), "did not start"),
        (SearchState(went_away="went away"), "--resume"),
    ],
)
def test_without_an_answer_the_next_step_fits_the_reason(tmp_path: Path, state: SearchState, step: str) -> None:
    answer, _ = _answer(tmp_path, a=state)
    (view,) = size_answer.views(answer, "runs/x")
    assert view.headline == "No load was found that meets the objectives"
    assert step in " ".join(view.next_steps)
    assert not view.command
