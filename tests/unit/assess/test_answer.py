"""The answer of a sweep from constructed assessments: the tuning guide's figures, objectives, divisors, failures."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.analysis.answer import Answer
from harness.assess import answer as answers
from harness.assess import answer_file
from harness.clock import Anchor
from harness.errors import Ending
from harness.metrics.catalog import METRICS, METRICS_VERSION
from harness.metrics.percentile import STATISTICS
from harness.metrics.results import (
    POINT_VALUE,
    Assessment,
    ObjectiveResult,
    PointSummary,
    RepetitionSummary,
    Validity,
    Value,
)
from harness.records.manifest import MANIFEST_VERSION, Deployment, Manifest, Point
from harness.records.schemas import TELEMETRY
from harness.records.store import RunFolder
from harness.report import answer as shown
from harness.scenario.schema import Scenario
from harness.scenario.strict_yaml import read_strict

NO_TELEMETRY = TELEMETRY.empty_table()
SCENARIO = """\
version: 1
name: guide
target: {engine: llama-70b}
vary: {SETTING: VALUES}
workload: {input_tokens: 2048, output_tokens: 128}
load: {kind: closed_loop, concurrency: [64]}
objectives: [{metric: time_to_first_token, statistic: p99, at_most_ms: 500}]
"""
BATCH_SIZES = {64: 1944.0, 512: 2467.0, 2048: 2044.0}  # tokens/s of four GPUs, NVIDIA's tuning guide
NUM_TOKENS = {2048: 2474.0, 8192: 2467.0, 16384: 2461.0}


def _answer(
    setting: str,
    rates: Mapping[int, float],
    *,
    repetitions: int = 1,
    spread: float = 0.0,
    gpus: int | None = 4,
    missed: Sequence[int] = (),
    invalid: Sequence[int] = (),
    failed: Mapping[int, str] | None = None,
    reference: Sequence[float] = (100.0, 100.0),
    objective: str = "statistic: p99, ",
    pruned: Mapping[int, str] | None = None,
    observed_ms: float = 200.0,
    reference_first_ms: Sequence[float] = (),
) -> tuple[Answer, Manifest]:
    failed, draw = failed or {}, random.Random(3)
    text = (
        SCENARIO.replace("statistic: p99, ", objective)
        .replace("SETTING", setting)
        .replace("VALUES", str([*rates, *failed]))
    )
    scenario = read_strict(text, Scenario, Path("guide.yaml"))
    deployments = [_deployment(setting, value, gpus, None, (pruned or {}).get(value)) for value in rates]
    deployments += [_deployment(setting, value, gpus, why) for value, why in failed.items()]
    points = [_point(f"{setting}-{value}", repetitions) for value in rates]
    summaries = [
        _summary(point.point_id, [rate * (1 + draw.gauss(0, spread)) for _ in range(repetitions)])
        for point, rate in zip(points, rates.values(), strict=True)
    ]
    points.append(_point(f"{setting}-{next(iter(rates))}", len(reference), purpose="reference"))
    summaries.append(_summary(points[-1].point_id, list(reference), reference_first_ms))
    manifest = _manifest(text, deployments, points)
    words = {f"{setting}-{value}-c64": "INVALID" if value in invalid else "VALID" for value in rates}
    words[points[-1].point_id] = "VALID"
    late = {
        f"{setting}-{value}-c64": [_objective("missed" if value in missed else "met", observed_ms)] for value in rates
    }
    assessment = Assessment(METRICS_VERSION, summaries, {k: Validity(v) for k, v in words.items()}, late)
    found = answers.answer_of(manifest, scenario, assessment, NO_TELEMETRY)
    assert found is not None
    return found, manifest


def _deployment(
    setting: str, value: int, gpus: int | None, failure: str | None, pruned: str | None = None
) -> Deployment:
    return Deployment(
        f"{setting}-{value}",
        "container",
        "ensemble",
        "",
        "triton_grpc",
        engine_name=f"llama-70b-{setting}-{value}",
        engine_spec=f"name: llama-70b-{setting}-{value}\n",
        varied={setting: value},
        gpu_count=None if failure else gpus,
        failure=failure,
        pruned=pruned,
    )


def _point(deployment_id: str, repetitions: int, purpose: str = "result") -> Point:
    suffix = "" if purpose == "result" else f"-{purpose}"
    id = f"{deployment_id}-c64{suffix}"
    return Point(id, deployment_id, "all", "closed_loop", 64, None, repetitions, 1000, 2048, 128, purpose=purpose)


def _summary(point_id: str, rates: Sequence[float], first_ms: Sequence[float] = ()) -> PointSummary:
    firsts = first_ms or [200.0] * len(rates)
    repetitions = [
        RepetitionSummary(point_id, None, i, True, 30.0, 900, {"ok": 900}, 30.0, 30.0, _metrics(rate, first))
        for i, (rate, first) in enumerate(zip(rates, firsts, strict=True))
    ]
    return PointSummary(point_id, None, repetitions, _metrics(sorted(rates)[len(rates) // 2]))


def _metrics(rate: float, first_ms: float = 200.0) -> dict[str, dict[str, Value]]:
    """Whatever the rate, 40 tokens/s per user and 200 ms to the first token; a goodput of a tenth of the rate."""
    known = {"output_token_throughput": rate, "output_token_throughput_per_user": 40.0, "goodput": rate / 10}
    known["time_to_first_token"] = first_ms * 1e6
    return {
        name: {
            key: Value(known.get(name, 1.0), metric.unit, 900)
            for key in ((POINT_VALUE,) if metric.level == "point" else STATISTICS)
        }
        for name, metric in METRICS.items()
    }


def _objective(status: str, observed_ms: float = 200.0) -> ObjectiveResult:
    observed = Value(observed_ms * 1e6, "ns", 900)
    return ObjectiveResult("time_to_first_token", "p99", "at_most_ms", 500.0, status, observed)


def _manifest(text: str, deployments: list[Deployment], points: list[Point]) -> Manifest:
    return Manifest(
        MANIFEST_VERSION, "run", "sweep", "0", METRICS_VERSION, [], "guide", text, "0", "guide.yaml", 1, "00", 1,
        Anchor(0, 0), {}, deployments, points,
    )  # fmt: skip


def _recommended(found: Answer) -> str | None:
    return found.workloads[0].recommendation.configuration


def test_the_tuning_guides_batch_sizes_given_as_a_sweep_recommend_512() -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES)
    assert _recommended(found) == "max_batch_size-512"
    assert found.workloads[0].recommendation.value == pytest.approx(2467 / 4)
    assert not found.workloads[0].recommendation.margin_is_real
    assert answers.ending(found) is Ending.PASS


def test_with_repetitions_and_one_percent_spread_its_margin_is_real() -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES, repetitions=3, spread=0.01)
    assert _recommended(found) == "max_batch_size-512"
    assert found.workloads[0].recommendation.margin_is_real


def test_with_one_percent_spread_the_values_of_max_num_tokens_are_not_distinguishable() -> None:
    found, _ = _answer("max_num_tokens", NUM_TOKENS, repetitions=3, spread=0.01)
    assert len(found.workloads[0].recommendation.not_distinguishable) == 2
    (view,) = shown.views(found, "runs/x")
    assert sum("not distinguishable" in row[1] for row in view.table.rows) == 2


def test_a_drifting_reference_takes_the_margin_its_reality_and_says_so() -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES, repetitions=3, spread=0.001, reference=(100.0, 125.0))
    assert found.drift is not None
    assert found.drift.spread == pytest.approx(0.25)
    first = found.workloads[0].recommendation.others[0]
    assert not first.real
    assert first.low is not None
    assert math.log1p(first.low) == pytest.approx(math.log(2467 / 2044) - math.log(1.25), abs=0.02)
    assert any("25%" in warning for warning in found.workloads[0].warnings)


def test_a_drift_as_large_as_the_margin_takes_its_reality_and_a_smaller_one_does_not() -> None:
    margin = 2467 / 2044
    for drifted, real in ((margin * 1.01, False), (1 + (margin - 1) / 2, True)):
        found, _ = _answer("max_batch_size", BATCH_SIZES, repetitions=3, spread=0.0, reference=(100.0, 100.0 * drifted))
        assert found.workloads[0].recommendation.margin_is_real is real, drifted
        (view,) = shown.views(found, "runs/x")
        assert ("The margin is real" in view.margin) is real


@pytest.mark.parametrize(("visits", "words"), [((100.0,), "was not measured twice"), ((100.0, 0.0), "gave nothing")])
def test_without_a_known_drift_no_margin_is_called_real(visits: Sequence[float], words: str) -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES, repetitions=3, spread=0.001, reference=visits)
    recommendation = found.workloads[0].recommendation
    assert recommendation.configuration == "max_batch_size-512"
    assert not recommendation.margin_is_real
    assert "drifted meanwhile is not known" in recommendation.reason
    assert any(words in warning for warning in found.workloads[0].warnings)
    assert any("--resume" in step for step in found.workloads[0].next_steps)
    (view,) = shown.views(found, "runs/x")
    assert "drift not known" in view.table.rows[1][1]


def test_drift_is_read_from_what_is_maximised() -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES, objective="", reference=(1000.0, 1100.0))
    assert found.drift is not None
    assert (found.drift.metric, found.drift.values) == ("goodput", [100.0, 110.0])
    assert json.loads(answer_file.to_json(found))["reference"]["goodput"] == [100.0, 110.0]


def test_an_objective_decided_by_less_than_the_drift_is_warned_of() -> None:
    """The limit is 500 ms. TTFT of the reference rose by a half: 400 ms could have been 600, and 600 could be 400."""
    met = _answer("max_batch_size", BATCH_SIZES, observed_ms=400.0, reference_first_ms=(20.0, 30.0))[0]
    assert any("meets its objectives by 25%" in text for text in met.workloads[0].warnings)
    missed = _answer("max_batch_size", BATCH_SIZES, missed=[512], observed_ms=600.0, reference_first_ms=(20.0, 30.0))[0]
    assert any("drifted (50%): max_batch_size 512" in text for text in missed.workloads[0].warnings)
    quiet = _answer("max_batch_size", BATCH_SIZES, observed_ms=400.0, reference_first_ms=(20.0, 21.0))[0]
    assert not [text for text in quiet.workloads[0].warnings if "TTFT of the reference" in text]


BEATEN = "beaten at every load by max_batch_size 2048: at least 1.30 times its output tokens/s"


def test_what_was_pruned_is_never_recommended_and_every_output_says_why(tmp_path: Path) -> None:
    """Not even where it came out highest: its few repetitions are not to be compared."""
    found, manifest = _answer("max_batch_size", BATCH_SIZES, pruned={512: BEATEN})
    made = found.workloads[0]
    assert _recommended(found) == "max_batch_size-2048"
    assert [other.configuration for other in made.recommendation.others] == ["max_batch_size-64"]
    assert any("--prune" in text and "max_batch_size 512" in text for text in made.warnings)
    (view,) = shown.views(found, "runs/x")
    row = next(row for row in view.table.rows if row[0] == "max_batch_size 512")
    assert row[1] == f"not finished: {BEATEN}"
    answer, _ = answer_file.write(RunFolder.create(tmp_path / "run"), manifest, found)
    configurations = json.loads(answer.read_text())["workloads"][0]["configurations"]
    pruned = next(c for c in configurations if c["settings"] == {"max_batch_size": 512})
    assert pruned["not_finished"] == BEATEN
    assert pruned["points"][0]["not_recommended_because"] == f"not finished: {BEATEN}"
    assert all(c["not_finished"] is None for c in configurations if c is not pruned)


def test_where_only_pruned_ones_could_win_the_sweep_says_how_to_finish_them() -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES, pruned={512: BEATEN}, missed=[64, 2048])
    assert _recommended(found) is None
    assert any("without --prune" in step for step in found.workloads[0].next_steps)
    only, _ = _answer("max_batch_size", {512: 2467.0}, pruned={512: BEATEN})
    assert answers.ending(only) is Ending.INCONCLUSIVE


def test_what_misses_an_objective_or_is_invalid_cannot_win() -> None:
    assert _recommended(_answer("max_batch_size", BATCH_SIZES, missed=[512])[0]) == "max_batch_size-2048"
    assert _recommended(_answer("max_batch_size", BATCH_SIZES, invalid=[512])[0]) == "max_batch_size-2048"


def test_without_a_winner_the_ending_says_why() -> None:
    assert answers.ending(_answer("max_batch_size", BATCH_SIZES, missed=[64, 512, 2048])[0]) is Ending.FAIL
    assert answers.ending(_answer("max_batch_size", BATCH_SIZES, invalid=[64, 512, 2048])[0]) is Ending.INVALID


def test_a_combination_that_does_not_start_stands_in_the_table() -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES, failed={8192: "does not start: out of memory"})
    (view,) = shown.views(found, "runs/x")
    assert [row[1] for row in view.table.rows][-1] == "does not start: out of memory"


def test_where_no_gauge_tells_what_bound_it_every_output_says_unknown_and_why() -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES)
    (view,) = shown.views(found, "runs/x")
    assert all(row[-1].startswith("unknown: no metrics page was read") for row in view.table.rows)
    assert any(text.startswith("What bound it is not known: no metrics page") for text in view.evidence)
    assert '"by": "unknown"' in answer_file.to_json(found)
    assert any("metrics_url" in step for step in found.workloads[0].next_steps)


def test_a_value_that_did_not_start_does_not_count_as_tried() -> None:
    found, _ = _answer("max_batch_size", {64: 1944.0, 512: 2467.0}, failed={2048: "does not start: out of memory"})
    assert any("512 is the largest that was measured" in step for step in found.workloads[0].next_steps)


@pytest.mark.parametrize(("gpus", "here", "elsewhere"), [(4, "gpu", "server"), (None, "server", "gpu")])
def test_json_and_report_say_what_rates_are_divided_by(
    tmp_path: Path, gpus: int | None, here: str, elsewhere: str
) -> None:
    found, manifest = _answer("max_batch_size", BATCH_SIZES, gpus=gpus)
    folder = RunFolder.create(tmp_path / "run")
    answer, spec = answer_file.write(folder, manifest, found)
    content: dict[str, Any] = json.loads(answer.read_text())
    recommendation = content["workloads"][0]["recommendation"]
    assert recommendation[f"output_token_throughput_per_{here}"] == pytest.approx(2467 / (gpus or 1))
    assert f"_per_{elsewhere}" not in answer.read_text()
    assert spec.read_text() == "name: llama-70b-max_batch_size-512\n"
    (view,) = shown.views(found, "runs/x")
    axes = view.figure.content.rows[0][0].y_label  # type: ignore[union-attr]
    assert axes == f"output tokens/s per {'GPU' if gpus else 'server'}"
    assert view.table.headers[3] == axes


def test_bounds_on_single_requests_alone_make_goodput_what_is_maximised() -> None:
    """No point as a whole can miss them, so throughput would ignore them."""
    found, _ = _answer("max_batch_size", BATCH_SIZES, objective="")
    assert found.maximised == "goodput"
    assert "goodput_per_gpu" in answer_file.to_json(found)
    (view,) = shown.views(found, "runs/x")
    assert "requests/s within all bounds per GPU" in view.table.headers


def test_the_front_holds_the_only_point_that_none_beats() -> None:
    found, _ = _answer("max_batch_size", BATCH_SIZES)
    assert found.workloads[0].fronts["time_to_first_token"] == ["max_batch_size-512-c64"]
    assert found.statistic == "p99"


def test_other_campaigns_have_no_answer() -> None:
    found, manifest = _answer("max_batch_size", BATCH_SIZES)
    assert found is not None
    scenario = read_strict(manifest.scenario_text, Scenario, Path("guide.yaml"))
    run = Manifest(**{**vars(manifest), "campaign": "run"})
    assert answers.answer_of(run, scenario, Assessment(1, [], {}, {}), pa.table({})) is None
