"""The deployments of `vary`: combinations, what cannot be, and the order of starts."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.plan_command import plan
from harness.errors import ScenarioError, UsageError
from harness.plan.deployments import combinations, reference_of, sessions, start_order
from harness.records.manifest import Point
from harness.resources import find_named
from harness.scenario import loader
from harness.scenario.schema import Scenario

SCENARIO = """\
version: 1
name: swept
target: {engine: cpu-tiny}
VARY
workload: {input_tokens: 16, output_tokens: 8}
load: {kind: closed_loop, concurrency: [1, 4, 16], max_requests: 200}
"""


def _scenario(vary: str) -> Scenario:
    return loader.load_text(SCENARIO.replace("VARY", vary), Path("swept.yaml")).scenario


def test_every_combination_is_an_engine_of_its_own() -> None:
    found = combinations(_scenario("vary: {max_batch_size: [2, 8], enable_chunked_context: [true, false]}"))
    assert [tuple(one.varied.values()) for one in found] == [(2, True), (2, False), (8, True), (8, False)]
    assert len({one.deployment_id for one in found}) == 4
    for one in found:
        assert one.spec is not None
        assert one.spec.name == one.name
        assert (one.spec.settings.max_batch_size, one.spec.settings.enable_chunked_context) == (*one.varied.values(),)
        assert one.spec.settings.max_num_tokens == 512  # what is not varied stays


def test_a_path_reaches_beyond_the_settings() -> None:
    (one,) = combinations(_scenario("vary: {model.layers: 2}"))
    assert one.spec is not None
    assert one.spec.model.layers == 2


def test_settings_that_do_not_go_together_are_listed_with_the_reason() -> None:
    found = combinations(_scenario("vary: {max_batch_size: [4, 1024]}"))
    assert found[0].cannot_be is None
    assert "must be at least max_batch_size (1024)" in (found[1].cannot_be or "")


def test_a_setting_that_no_engine_has_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown key.*max_batch_size"):
        combinations(_scenario("vary: {max_batch_sise: [4, 16]}"))


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("vary: {}", "vary"),
        ("vary: {max_batch_size: []}", "vary"),
        ("vary: {max_batch_size: [4, 4]}", "stands twice"),
        (f"vary: {{a: {list(range(11))}, b: {list(range(11))}}}", "121 combinations"),
    ],
)
def test_a_vary_that_makes_no_sense_is_refused_with_its_line(vary: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        _scenario(vary)
    assert "swept.yaml:4:" in caught.value.message


def test_a_server_that_runs_already_cannot_vary() -> None:
    text = SCENARIO.replace("VARY", "vary: {max_batch_size: [4]}").replace(
        "{engine: cpu-tiny}", "{attach: {url: 'h:1'}}"
    )
    with pytest.raises(ScenarioError, match="only an engine that the harness starts"):
        loader.load_text(text, Path("swept.yaml"))


@pytest.mark.parametrize("count", [1, 2, 5, 7, 13, 30])
def test_each_deployment_is_started_once_and_the_reference_a_few_times_more(count: int) -> None:
    order = [f"d{number}" for number in range(count)]
    found = sessions(order)
    assert [session.deployment_id for session in found if session.points] == order
    visits = [visit for session in found for visit in session.reference]
    assert visits == list(range(len(visits)))
    assert len(visits) >= 2
    assert {s.deployment_id for s in found if s.reference} == {"d0"}
    assert found[0].reference[0] == 0
    assert found[-1].reference[-1] == visits[-1]
    gaps = [i for i, session in enumerate(found) if session.reference]
    assert all(later - earlier <= 7 for earlier, later in itertools.pairwise(gaps))


def test_the_order_of_starts_follows_from_the_seed() -> None:
    ids = [f"d{number}" for number in range(8)]
    assert start_order(ids, 1) == start_order(ids, 1)
    assert sorted(start_order(ids, 1)) == ids
    assert start_order(ids, 1) != start_order(ids, 2)


def test_the_reference_is_the_middle_load() -> None:
    points = [Point(f"d-all-c{c}", "d", "all", "closed_loop", c, None, 3, 10, 16, 8) for c in (1, 4, 16)]
    found = reference_of(points, 2)
    assert (found.point_id, found.concurrency, found.repetitions, found.purpose) == (
        "d-all-c4-reference",
        4,
        2,
        "reference",
    )


def test_plan_shows_the_matrix_and_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "swept.yaml"
    file.write_text(SCENARIO.replace("VARY", "vary: {max_batch_size: [4, 16, 1024]}"))
    shown = CliRunner().invoke(plan, [str(file)]).output
    assert "cannot be: settings.max_num_tokens" in shown
    assert "3 starts for 2 combinations" in shown
    assert "about" in shown.partition("duration")[2]


def test_the_shipped_sweep_has_six_combinations_that_can_be() -> None:
    scenario = loader.load(find_named("scenarios", "batch-sweep")).scenario
    assert [one.cannot_be for one in combinations(scenario)] == [None] * 6
