"""The accepted runs that later ones are judged against: a small JSON file that a person reviews in a pull request.

A file holds epochs; an epoch holds accepted runs of one identity at one point. Values are in the units of the names:
times `_ms`, rates per second, shares 0-1, lengths in tokens, six digits each. Every run has a digest over itself and
the one before it, the file one over everything: a change by hand is found, and named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints

from harness.gate.comparable import Identity
from harness.gate.stored_values import Stored
from harness.scenario.strict import Strict

BASELINE_VERSION = 1
LEAST_RUNS = 5  # fewer accepted runs predict nothing

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Instant = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class AcceptedRun(Strict):
    """One run that a person accepted."""

    run_id: Text = Field(description="the run folder's name")
    accepted_at: Instant = Field(description="UTC")
    accepted_by: Text = Field(description="git's user, else the system's")
    commit: str | None = Field(description="commit of the working folder, `+changes` with uncommitted ones")
    reason: Text = Field(description="why it was accepted")
    verdict: Literal["PASS", "FAIL", "INCONCLUSIVE"] = Field(description="what the gate and the objectives said")
    override: bool = Field(description="accepted although the verdict was FAIL")
    requests: NonNegativeInt = Field(description="requests of the cohort, all repetitions together")
    values: dict[str, Stored] = Field(description="metric.statistic → value; one that was not available is absent")
    digest: Digest = Field(description="over this run and the digest before it")


class Epoch(Strict):
    """Accepted runs of one identity. A gate uses the last epoch of the file."""

    epoch: PositiveInt = Field(description="number, counts from 1")
    reason: Text = Field(description="why it was opened")
    point_id: Text = Field(description="the point that is judged")
    metrics_version: PositiveInt = Field(description="of the metric definitions behind the values")
    identity: dict[str, Any] = Field(description="what the first run was made of; null: could not be told")
    runs: list[AcceptedRun] = Field(min_length=1, description="in the order in which they were accepted")


class Baseline(Strict):
    """One baseline file."""

    baseline_version: Literal[1] = Field(description="version of this schema")
    scenario: Name
    target: Name = Field(description="engine, or name of the target")
    hardware: Name = Field(description="`<count>x<GPU product>` or `cpu-<model>-<cores>`")
    epochs: list[Epoch] = Field(min_length=1)
    testbed: dict[str, Any] | None = Field(description="spread and smallest honest margins, as `gate aa` measured them")
    digest: Digest = Field(description="over the whole file")

    @property
    def current(self) -> Epoch:
        """The epoch that gates use."""
        return self.epochs[-1]

    @property
    def run_ids(self) -> list[str]:
        """Every run that was ever accepted here, and not pruned."""
        return [run.run_id for epoch in self.epochs for run in epoch.runs]


def begun(scenario: str, target: str, hardware: str, epoch: Epoch) -> Baseline:
    """A new baseline with its first epoch."""
    return _sealed(
        {
            "baseline_version": BASELINE_VERSION,
            "scenario": scenario,
            "target": target,
            "hardware": hardware,
            "epochs": [epoch.model_dump()],
            "testbed": None,
        }
    )


def first_epoch(reason: str, point_id: str, metrics_version: int, identity: Identity, run: Mapping[str, Any]) -> Epoch:
    """An epoch with its first run (an AcceptedRun's fields without `digest`)."""
    return Epoch(
        epoch=1,
        reason=reason,
        point_id=point_id,
        metrics_version=metrics_version,
        identity=dict(identity.fields),
        runs=[_unsealed(run)],
    )


def with_run(baseline: Baseline, run: Mapping[str, Any]) -> Baseline:
    """A copy whose current epoch holds one more run (an AcceptedRun's fields without `digest`)."""
    content = baseline.model_dump()
    content["epochs"][-1]["runs"].append(_unsealed(run).model_dump())
    return _sealed(content)


def with_epoch(baseline: Baseline, epoch: Epoch) -> Baseline:
    """A copy with one more epoch, which becomes the current one."""
    content = baseline.model_dump()
    content["epochs"].append({**epoch.model_dump(), "epoch": baseline.current.epoch + 1})
    return _sealed(content)


def with_testbed(baseline: Baseline, testbed: Mapping[str, Any] | None) -> Baseline:
    """A copy that knows the spread of this test bed and its smallest honest margins."""
    return _sealed({**baseline.model_dump(), "testbed": None if testbed is None else dict(testbed)})


def pruned(baseline: Baseline, keep_epochs: int) -> Baseline:
    """A copy with only the last epochs. The current one always stays, whole."""
    content = baseline.model_dump()
    return _sealed({**content, "epochs": content["epochs"][-max(1, keep_epochs) :]})


def changed_by_hand(baseline: Baseline) -> str | None:
    """Where the content does not fit its digests, as the field's name in the file; None when all fit."""
    content = baseline.model_dump()
    sealed = _sealed(content)
    for e, epoch in enumerate(baseline.epochs):
        for r, run in enumerate(epoch.runs):
            if run.digest != sealed.epochs[e].runs[r].digest:
                return f"epochs[{e}].runs[{r}]" if r else f"epochs[{e}] (its head or runs[0])"
    return None if baseline.digest == sealed.digest else "the list of epochs, the end of a list of runs, or testbed"


def metric_names(epoch: Epoch) -> list[str]:
    """Every value's name that a run of the epoch holds, sorted."""
    return sorted({name for run in epoch.runs for name in run.values})


def _unsealed(run: Mapping[str, Any]) -> AcceptedRun:
    """The run, whose digest is filled in when the whole is sealed."""
    return AcceptedRun(**run, digest="0" * 16)


def _sealed(content: Mapping[str, Any]) -> Baseline:
    """The baseline with all digests as they have to be."""
    whole = json.loads(json.dumps(content))
    names = {key: whole[key] for key in ("scenario", "target", "hardware")}
    for epoch in whole["epochs"]:
        before = _digest({**names, **{key: value for key, value in epoch.items() if key != "runs"}})
        for run in epoch["runs"]:
            run.pop("digest", None)
            run["digest"] = before = _digest({"before": before, "run": run})
    whole.pop("digest", None)
    return Baseline.model_validate({**whole, "digest": _digest(whole)})


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
