"""What a search found, over all configurations: `size.json`, and which configuration wins."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from harness.analysis.answer import GPU, SERVER
from harness.analysis.bound_by import unbound
from harness.analysis.objective_counts import SHARES
from harness.analysis.pareto import Candidate, Recommendation, recommend
from harness.analysis.sized import ProbeRow, SizeAnswer, Sized, by_load_intervals
from harness.assess.answer import in_words
from harness.assess.bounds import bounds_of
from harness.errors import Ending
from harness.metrics.catalog import METRICS
from harness.records import search_file
from harness.records.manifest import Manifest
from harness.records.search_file import JudgedProbe, SearchState
from harness.records.store import RunFolder
from harness.scenario.objective import Objective
from harness.scenario.schema import Scenario

FILE = "size.json"
NOT_ENDED = "the search has not ended: harness size --resume"
RATE = "output_token_throughput"
MAXIMISED = {"objectives": "goodput", "throughput": "output_token_throughput", "latency": "per_user"}


def answer_of(folder: RunFolder, manifest: Manifest, scenario: Scenario) -> SizeAnswer | None:
    """The answer of the search in this folder; None for other campaigns."""
    if manifest.campaign != "size" or scenario.size is None:
        return None
    mode = scenario.size.mode
    counts = {d.deployment_id: d.gpu_count for d in manifest.deployments}
    per_gpu = bool(counts) and all(counts.values())
    engines = {d.deployment_id: d.engine_name for d in manifest.deployments}
    states, telemetry = search_file.read(folder).items(), folder.telemetry()
    found = [
        _bounded(_sized(key, state, MAXIMISED[mode], counts if per_gpu else {}, engines), state, manifest, telemetry)
        for key, state in states
    ]
    candidates = [
        Candidate(one.key, one.probes[-1].point_id if one.probes else one.key, one.values, _why_not(one))
        for one in found
    ]
    return SizeAnswer(
        GPU if per_gpu else SERVER,
        mode,
        MAXIMISED[mode],
        "requests in flight" if scenario.load.kind == "closed_loop" else "requests/s",
        tuple(_in_words(o) for o in scenario.objectives),
        found,
        _recommended(scenario, candidates, found),
    )


def _recommended(scenario: Scenario, candidates: Sequence[Candidate], found: Sequence[Sized]) -> Recommendation:
    """The best configuration. Where the load is the rate that is served, margins are those of the loads' intervals; a
    load in flight is no rate, and every configuration was measured at its own time: how far the machine drifted
    meanwhile is not known."""
    is_rate = scenario.size is not None and scenario.size.mode == "objectives" and scenario.load.kind == "open_loop"
    return by_load_intervals(recommend(candidates), found) if is_rate else recommend(candidates, drift=None)


def ending(answer: SizeAnswer) -> Ending:
    """PASS when a configuration was found; else why there is none."""
    if answer.recommendation.configuration is not None:
        return Ending.PASS
    statuses = {one.status for one in answer.configurations}
    if "invalid" in statuses:
        return Ending.INVALID
    return Ending.FAIL if statuses and statuses <= {"none_holds", "failed"} else Ending.INCONCLUSIVE


def to_json(answer: SizeAnswer) -> str:
    """The answer as JSON text; keys of rates end in `_per_gpu` or `_per_server`."""
    name = f"{answer.maximised}_per_{answer.divisor}" if answer.maximised != "per_user" else answer.maximised
    best = answer.recommendation
    content = {
        "mode": answer.mode,
        "load_unit": answer.unit,
        "divisor": answer.divisor,
        "recommendation": {
            "configuration": best.configuration,
            name: best.value,
            "reason": best.reason,
            "margin_is_real": best.margin_is_real,
        },
        "configurations": [
            {
                "configuration": one.key,
                "settings": one.label,
                "status": one.status,
                "load": one.load,
                "low": one.low,
                "high": one.high,
                "why": one.why,
                "bound_at": one.bound_at,
                "bound_by": [{"by": bound.by, "seen": bound.seen} for bound in one.bounds],
                name: list(one.values),
                "probes": [
                    {"load": p.load, "purpose": p.purpose, "answer": p.answer, "detail": p.detail, name: p.value}
                    for p in one.probes
                ],
            }
            for one in answer.configurations
        ],
    }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _why_not(one: Sized) -> str | None:
    return None if one.status == "found" else one.why


def _in_words(objective: Objective) -> str:
    """An objective, and how a probe looks at it where that is not by the test."""
    words = in_words(objective.metric, objective.statistic, *objective.bound)
    if objective.statistic in SHARES:
        return words
    each = objective.statistic is None and METRICS[objective.metric].level == "request"
    return f"{words} ({'of each request: it defines goodput' if each else 'compared as it is, without a test'})"


def _sized(
    key: str,
    state: SearchState,
    maximised: str,
    counts: Mapping[str, int | None],
    engines: Mapping[str, str | None],
) -> Sized:
    divisor = counts.get(state.deployment_id or "") or 1
    rows = tuple(_row(each, maximised, divisor) for each in (*state.set_aside, *state.history))
    found = state.found or {}
    load = found.get("load")
    confirmed = _confirmed(rows, load)
    return Sized(
        key=key,
        label=state.label or "the engine",
        deployment_id=state.deployment_id,
        engine_name=engines.get(state.deployment_id or ""),
        load=load,
        low=found.get("low"),
        high=found.get("high"),
        why=state.failure or state.went_away or found.get("why", NOT_ENDED),
        status="failed" if state.failure else "went_away" if state.went_away else found.get("status", "running"),
        values=tuple(row.value for row in confirmed if row.value is not None),
        probes=rows,
        gpus=divisor,
    )


def _bounded(one: Sized, state: SearchState, manifest: Manifest, telemetry: pa.Table) -> Sized:
    """With what bound the configuration where it gave way, or at the highest load tried where it did not."""
    lost = [each for each in one.probes if each.answer == "lost" and each.load > (one.load or 0.0)]
    place = min(lost, key=lambda each: each.load) if lost else max(one.probes, key=lambda each: each.load, default=None)
    if place is None or one.deployment_id is None:
        return one
    bounds = bounds_of(manifest, telemetry, manifest.deployment(one.deployment_id), place.point_id)
    if not bounds:
        rates = {each.point_id: each.result[RATE] or 0.0 for each in (*state.set_aside, *state.history)}
        below = [(each.load, rates[each.point_id]) for each in one.probes if each.load < place.load]
        bounds = [unbound(place.load, rates[place.point_id], max(below, default=None), None)]
    return dataclasses.replace(one, bounds=tuple(bounds), bound_at=place.load)


def _confirmed(rows: Sequence[ProbeRow], load: float | None) -> list[ProbeRow]:
    """The probes at the load found that held, confirmations and the one before them."""
    return [row for row in rows if load is not None and row.load == load and row.answer == "held"]


def _row(kept: JudgedProbe, maximised: str, divisor: int) -> ProbeRow:
    probe, result = kept.probe, kept.result
    rates = {name: None if result[name] is None else result[name] / divisor for name in ("goodput", RATE)}
    return ProbeRow(
        load=probe["load"],
        purpose=probe["purpose"],
        answer=result["answer"],
        detail=result["detail"],
        validity=result["validity"],
        point_id=kept.point_id,
        value=rates.get(maximised, result[maximised]),
        throughput=rates[RATE],
        per_user=result["per_user"],
    )
