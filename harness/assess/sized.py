"""What a search found, over all configurations: `size.json`, and which configuration wins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.answer import GPU, SERVER
from harness.analysis.pareto import Candidate, recommend
from harness.analysis.sized import ProbeRow, SizeAnswer, Sized
from harness.errors import Ending
from harness.records.manifest import Manifest
from harness.records.store import RunFolder
from harness.scenario.schema import Scenario

STATE, FILE = "search.json", "size.json"
MAXIMISED = {"objectives": "goodput", "throughput": "output_token_throughput", "latency": "per_user"}


def answer_of(folder: RunFolder, manifest: Manifest, scenario: Scenario) -> SizeAnswer | None:
    """The answer of the search in this folder; None for other campaigns."""
    path = folder.path / STATE
    if manifest.campaign != "size" or scenario.size is None:
        return None
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    mode = scenario.size.mode
    counts = {d.deployment_id: d.gpu_count for d in manifest.deployments}
    per_gpu = bool(counts) and all(counts.values())
    engines = {d.deployment_id: d.engine_name for d in manifest.deployments}
    found = [_sized(key, entry, MAXIMISED[mode], counts if per_gpu else {}, engines) for key, entry in content.items()]
    candidates = [
        Candidate(one.key, one.probes[-1].point_id if one.probes else one.key, one.values, _why_not(one))
        for one in found
    ]
    return SizeAnswer(
        GPU if per_gpu else SERVER,
        mode,
        MAXIMISED[mode],
        "requests in flight" if scenario.load.kind == "closed_loop" else "requests/s",
        tuple(_in_words(o.metric, o.statistic, *o.bound) for o in scenario.objectives),
        found,
        recommend(candidates),
    )


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
                "low": one.load,
                "high": one.high,
                "why": one.why,
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


def _in_words(metric: str, statistic: str | None, bound: str, limit: float) -> str:
    return f"{metric}{f' {statistic}' if statistic else ''} {bound.replace('_', ' ')} {limit:g}"


def _sized(
    key: str,
    entry: Mapping[str, Any],
    maximised: str,
    counts: Mapping[str, int | None],
    engines: Mapping[str, str | None],
) -> Sized:
    deployment_id = entry.get("deployment_id")
    divisor = counts.get(deployment_id or "") or 1
    rows = tuple(_row(each, maximised, divisor) for each in entry.get("history", []))
    found = entry.get("found") or {}
    failure = entry.get("failure")
    load = found.get("load")
    confirmed = _confirmed(rows, load)
    return Sized(
        key=key,
        label=entry.get("label") or "the engine",
        deployment_id=deployment_id,
        engine_name=engines.get(deployment_id or ""),
        load=load,
        high=found.get("high"),
        why=failure or found.get("why", "the search has not ended: harness size --resume"),
        status="failed" if failure else found.get("status", "running"),
        values=tuple(row.value for row in confirmed if row.value is not None),
        probes=rows,
    )


def _confirmed(rows: Sequence[ProbeRow], load: float | None) -> list[ProbeRow]:
    """The probes at the load found that held, confirmations and the one before them."""
    return [row for row in rows if load is not None and row.load == load and row.answer == "held"]


def _row(kept: Mapping[str, Any], maximised: str, divisor: int) -> ProbeRow:
    probe, result = kept["probe"], kept["result"]
    value = result[maximised]
    if value is not None and maximised != "per_user":
        value /= divisor
    return ProbeRow(
        probe["load"], probe["purpose"], result["answer"], result["detail"], result["validity"], kept["point_id"], value
    )
