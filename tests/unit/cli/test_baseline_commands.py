"""`harness baseline`, `gate run` and `compare` over whole run folders: exit codes, words, and what is left on disk."""

from __future__ import annotations

import io
import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from harness.assess import baseline_files
from harness.cli.gate_aa_outcome import put_into
from harness.cli.main import main
from harness.errors import UsageError
from harness.gate.baseline_json import schema_text, to_json
from harness.resources import shipped
from tests.oracle.folders import HOST, write_pair_run, write_run

PACES = (1.0, 1.01, 0.99, 1.005, 0.995)
OBJECTIVES = "objectives: [{metric: time_to_first_token, statistic: p95, at_most_ms: 0.5}]\n"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five accepted runs in `baselines`, made once."""
    root = tmp_path_factory.mktemp("accepted")
    for number, pace in enumerate(PACES):
        run = write_run(root / "runs" / f"r{number}", slower=pace)
        assert ended(accept(run, root / "baselines")) == 0
    return root / "baselines"


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("plain") / "run")


@pytest.fixture
def baselines(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "baselines"))


@pytest.fixture
def file(baselines: Path) -> Path:
    (found,) = baselines.rglob("*.json")
    return found


def accept(run: Path, root: Path, *more: str) -> list[str]:
    return ["baseline", "accept", str(run), "--reason", "as it should be", "--baselines", str(root), *more]


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    return int(ending.value.code or 0)


def gate(run: Path, file: Path, *more: str) -> int:
    return ended(["gate", "run", str(run), "--baseline", str(file), *more])


def content(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(file.read_text())
    return read


def test_the_file_lies_by_scenario_target_and_hardware_and_says_who_when_and_why(file: Path, tmp_path: Path) -> None:
    assert file.relative_to(tmp_path) == Path("baselines/small/cpu-tiny/cpu-model-cpu-9000-4.json")
    (epoch,) = content(file)["epochs"]
    assert [run["run_id"] for run in epoch["runs"]] == ["r0", "r1", "r2", "r3", "r4"]
    first = epoch["runs"][0]
    assert first["reason"] == "as it should be"
    assert first["accepted_by"]
    assert first["accepted_at"].endswith("Z")
    assert first["values"]["time_to_first_token.p95_ms"] == pytest.approx(1.75, rel=0.01)


def test_a_gpu_names_its_hardware(tmp_path: Path) -> None:
    run = write_run(tmp_path / "gpu", gpu_product="NVIDIA H100 80GB HBM3", gpu_count=2)
    assert ended(accept(run, tmp_path / "b")) == 0
    assert [path.name for path in (tmp_path / "b").rglob("*.json")] == ["2xnvidia-h100-80gb-hbm3.json"]


def test_an_invalid_run_is_never_accepted(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_text()
    run = write_run(tmp_path / "dead", failures=400)
    assert ended(accept(run, tmp_path / "baselines", "--override")) == 3
    assert "is INVALID and cannot be a baseline" in capsys.readouterr().err
    assert file.read_text() == before


def test_a_slower_run_is_accepted_only_by_override(file: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "slow", slower=2.5)
    assert ended(accept(run, tmp_path / "baselines")) == 1
    assert ended(accept(run, tmp_path / "baselines", "--new-epoch")) == 1  # … nor is it hidden in a new epoch
    assert len(content(file)["epochs"][-1]["runs"]) == 5
    assert ended(accept(run, tmp_path / "baselines", "--override")) == 0
    last = content(file)["epochs"][-1]["runs"][-1]
    assert (last["run_id"], last["verdict"], last["override"]) == ("slow", "FAIL", True)


def test_a_run_that_missed_its_objectives_is_refused_as_the_first_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "late", objectives=OBJECTIVES)
    assert ended(accept(run, tmp_path / "b")) == 1
    assert not list((tmp_path / "b").rglob("*.json"))
    assert ended(accept(run, tmp_path / "b", "--override")) == 0


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_is_needed(tmp_path: Path, reason: str) -> None:
    run = write_run(tmp_path / "r")
    command = ["baseline", "accept", str(run), "--baselines", str(tmp_path / "b")]
    assert ended(command) == 2
    assert ended([*command, "--override", "--reason", reason]) == 2
    assert not (tmp_path / "b").exists()


def test_no_run_is_accepted_twice(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "r2")
    assert ended(accept(run, tmp_path / "baselines")) == 2
    assert ended(accept(run, tmp_path / "baselines", "--new-epoch")) == 2
    assert "is in" in capsys.readouterr().err
    assert len(content(file)["epochs"][0]["runs"]) == 5


def test_another_kind_of_run_needs_a_new_epoch_and_gates_then_use_that_one(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "seed2", run={"seed": 2})
    assert ended(accept(run, tmp_path / "baselines")) == 4
    assert ended(accept(run, tmp_path / "baselines", "--new-epoch")) == 0
    capsys.readouterr()
    assert gate(write_run(tmp_path / "next", run={"seed": 2}), file) == 4
    assert "INCONCLUSIVE: the epoch holds 1 accepted run, 5 are needed: 4 missing" in capsys.readouterr().out
    assert ended(["baseline", "prune", str(file)]) == 0
    assert [epoch["epoch"] for epoch in content(file)["epochs"]] == [2]
    assert baseline_files.load(file).current.reason == "as it should be"


@pytest.mark.parametrize(("slower", "code"), [(1.0, 0), (0.5, 0), (2.5, 1)])
def test_the_gate_s_exit_code_is_its_verdict(file: Path, tmp_path: Path, slower: float, code: int) -> None:
    before = file.read_text()
    run = write_run(tmp_path / "run", slower=slower)
    assert gate(run, file, "--output", str(tmp_path / "copy"), "--junit", str(tmp_path / "j.xml")) == code
    verdict = content(tmp_path / "copy" / "verdict.json")
    assert (verdict["gate"], verdict["exit_code"]) == ("run", code)
    assert verdict["metrics"][0]["method"] == "prediction"
    assert content(run / "verdict.json")["run"]["points"]
    assert (tmp_path / "j.xml").exists()
    assert file.read_text() == before  # a gate never moves its baseline


def test_a_run_in_which_nothing_succeeded_fails(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(write_run(tmp_path / "dead", failures=400), file) == 1
    assert "FAIL: none of this run's 400 requests succeeded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"gpu_product": "NVIDIA H200", "gpu_count": 1}, "hardware.gpu_product: none → NVIDIA H200"),
        ({"run": {"seed": 7}}, "scenario.seed: 1 → 7"),
        ({"run": {"metrics_version": 99}}, "metrics.version_of_run"),
        ({"run": {"host": {**HOST, "cpu_model": "other"}}}, "hardware.cpu_model: Model Cpu 9000 → other"),
    ],
)
def test_another_kind_of_run_is_not_comparable_and_the_differences_are_listed(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], field: str
) -> None:
    assert gate(write_run(tmp_path / "run", **changes), file) == 4
    said = capsys.readouterr().out
    assert said.startswith("NOT_COMPARABLE: ")
    assert field in said


def test_what_is_declared_is_the_treatment(file: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", run={"seed": 7})
    assert gate(run, file, "--declare", "scenario") == 0
    (seed,) = [field for field in content(run / "verdict.json")["identity"] if field["name"] == "scenario.seed"]
    assert seed["status"] == "declared"
    assert gate(run, file, "--declare", "sceanrio") == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"baseline_version": 1', '"baseline_version": 2', "baseline_version is 2, this harness reads 1"),
        ('"time_to_first_token.p95_ms": 1.75', '"time_to_first_token.p95_ms": 2.75', "epochs[0] (its head or runs[0])"),
        ('"run_id": "r3"', '"run_id": "r9"', "epochs[0].runs[3] was changed after it was accepted"),
        ('"testbed": null', '"testbed": {}', "was changed after it was accepted"),
        ('"override": false', '"override": 7', "override"),
        ('"error_ratio": 0.0', '"error_ratio": NaN', "is not JSON: NaN is no number"),
        ('"epochs": [', '"epochs": [], "more": [', "epochs: found an empty list"),
        ("{", "", "is not JSON"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_one_error_with_file_and_field(
    file: Path, tmp_path: Path, plain_run: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    for command in (["gate", "run", str(plain_run), "--baseline", str(file)], accept(plain_run, file.parents[2])):
        assert ended(command) == 2
        error = capsys.readouterr().err
        assert str(file.name) in error
        assert said in error
    assert ended(["baseline", "list", "--baselines", str(tmp_path / "baselines")]) == 2


@pytest.mark.parametrize(("removed", "said"), [(2, r"epochs\[0\]\.runs\[2\] was"), (4, "the end of a list of runs")])
def test_a_removed_run_is_noticed(file: Path, removed: int, said: str) -> None:
    changed = content(file)
    del changed["epochs"][0]["runs"][removed]
    file.write_text(json.dumps(changed))
    with pytest.raises(UsageError, match=said):
        baseline_files.load(file)


def test_the_text_is_sorted_and_stays_as_it_is_when_read_and_written(file: Path) -> None:
    text = file.read_text()
    assert to_json(baseline_files.load(file)) == text
    assert json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n" == text


def test_a_limit_is_kept_as_a_limit_and_never_counts_as_a_value(tmp_path: Path) -> None:
    """5 of 400 requests failed: the p99 fell among them and is only known to be above something."""
    for number in range(6):
        run = write_run(tmp_path / f"r{number}", failures=5, slower=PACES[number % 5])
        assert ended(accept(run, tmp_path / "b")) == 0
    (file,) = (tmp_path / "b").rglob("*.json")
    assert to_json(baseline_files.load(file)) == file.read_text()
    for kept in content(file)["epochs"][0]["runs"]:
        assert kept["values"]["time_to_first_token.p99_ms"]["above"] > 0
    assert ended(["baseline", "show", str(file)]) == 0
    run = write_run(tmp_path / "next", failures=5)
    assert gate(run, file) == 0
    shown = {metric["metric"] + " " + metric["statistic"] for metric in content(run / "verdict.json")["metrics"]}
    assert "time_to_first_token p95" in shown
    assert "time_to_first_token p99" not in shown


def test_a_crash_while_writing_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, loaded = file.read_text(), baseline_files.load(file)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(baseline_files.os, "replace", full)
    with pytest.raises(UsageError, match="No space left on device"):
        baseline_files.save(file, loaded)
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def _hold(folder: Path, held: Any, go: Any) -> None:
    with baseline_files.locked(folder):
        held.set()
        go.wait(20)


def test_one_process_at_a_time_changes_a_baseline(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, go = context.Event(), context.Event()
    child = context.Process(target=_hold, args=(file.parent, held, go))
    child.start()
    try:
        assert held.wait(20)
        with (
            pytest.raises(UsageError, match="another process has been changing"),
            baseline_files.locked(file.parent, 0.1),
        ):
            pass
    finally:
        go.set()
        child.join(20)
    with baseline_files.locked(file.parent, 0.1):
        pass


def test_list_show_and_diff_say_what_is_there(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["baseline", "list"]) == 0
    assert "cpu-tiny" in capsys.readouterr().out
    assert ended(["baseline", "show", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "as it should be" in shown
    assert "time_to_first_token.p95_ms" in shown
    assert ended(["baseline", "diff", str(file), str(write_run(tmp_path / "slow", slower=2.0))]) == 0
    assert "+100" in capsys.readouterr().out
    assert ended(["baseline", "list", "--baselines", str(tmp_path / "none")]) == 0


def test_a_comparison_is_for_information_and_never_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write_run(tmp_path / "a", run={"host": {**HOST, "kernel": "6.2"}})
    b = write_run(tmp_path / "b", slower=2.5, run={"seed": 2})
    assert ended(["compare", str(a), str(b)]) == 0
    said = capsys.readouterr().out
    assert "scenario.seed" in said
    assert "blocks a gate" in said
    assert "warns" in said
    assert "+150" in said
    for word in ("PASS", "FAIL", "INCONCLUSIVE"):
        assert word not in said
    assert ended(["compare", str(a), str(tmp_path / "nowhere")]) == 2


def test_the_arms_of_a_pair_run_are_points_of_their_own_and_only_points_meet_whatever_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair, plain = write_pair_run(tmp_path / "pair"), write_run(tmp_path / "plain")
    assert ended(["compare", str(pair), str(pair)]) == 0
    said = capsys.readouterr().out
    assert "A p (baseline)   B p (baseline)" in said
    assert "A p (candidate)   B p (candidate)" in said
    assert ended(["compare", str(pair), str(plain)]) == 2
    assert gate(pair, tmp_path / "none.json") == 2
    other = write_run(tmp_path / "other", point="q")
    assert ended(["compare", str(plain), str(other)]) == 0
    assert "A p   B q" in capsys.readouterr().out


def test_the_test_bed_of_gate_aa_stands_in_the_baseline_and_in_verdicts(file: Path, tmp_path: Path) -> None:
    bed = {"pairs": 24, "smallest_honest_margins": {"time_to_first_token.p95": 0.04}}
    (tmp_path / "testbed.json").write_text(json.dumps(bed))
    put_into(file, tmp_path, Console(file=io.StringIO()))
    assert content(file)["testbed"] == bed
    assert gate(write_run(tmp_path / "run"), file) == 0
    assert content(tmp_path / "run" / "verdict.json")["testbed"] == bed


def test_the_published_schema_is_up_to_date_and_every_baseline_fits_it(file: Path) -> None:
    published = shipped("baselines") / "baseline.schema.json"
    assert published.read_text() == schema_text()
    jsonschema.validate(content(file), json.loads(schema_text()))
