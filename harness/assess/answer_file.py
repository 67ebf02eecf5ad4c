"""`answer.json` and the engine to deploy: the answer as JSON whose keys say what rates are divided by, and the spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.analysis.answer import Answer, AnswerPoint, Configuration, WorkloadAnswer
from harness.metrics.results import Value
from harness.records.manifest import Manifest
from harness.records.store import RunFolder

FILE = "answer.json"
RECOMMENDED = "recommended"  # folder of the run folder


def write(folder: RunFolder, manifest: Manifest, answer: Answer) -> list[Path]:
    """Write `answer.json`, and the spec of each recommended engine under `recommended/`; returns their paths."""
    written = [folder.write_text(FILE, to_json(answer))]
    for deployment_id in dict.fromkeys(one.recommendation.configuration for one in answer.workloads):
        if deployment_id is None:
            continue
        deployment = manifest.deployment(deployment_id)
        if deployment.engine_spec is not None:
            path = folder.path / deploy_file(deployment.engine_name or deployment_id)
            path.parent.mkdir(exist_ok=True)
            path.write_text(deployment.engine_spec, encoding="utf-8")
            written.append(path)
    return written


def deploy_file(engine_name: str) -> str:
    """Where the spec of a recommended engine lies in the run folder."""
    return f"{RECOMMENDED}/{engine_name}.yaml"


def to_json(answer: Answer) -> str:
    """The answer as JSON text; every rate's key ends in `_per_gpu` or `_per_server`."""
    content = {
        "divisor": answer.divisor,
        "maximised": _key(answer.maximised, answer),
        "time_to_first_token_statistic": answer.statistic,
        "objectives": answer.objectives,
        "reference": None
        if answer.drift is None
        else {
            "point_id": answer.drift.point_id,
            answer.drift.metric: answer.drift.values,
            "spread_ratio": answer.drift.spread,
            "time_to_first_token_spread_ratio": answer.drift.first_token_spread,
        },
        "workloads": [_workload(one, answer) for one in answer.workloads],
    }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _key(metric: str, answer: Answer) -> str:
    return f"{metric}_per_{answer.divisor}"


def _workload(one: WorkloadAnswer, answer: Answer) -> dict[str, Any]:
    found = one.recommendation
    best = one.configuration(found.configuration)
    return {
        "workload": one.workload,
        "recommendation": {
            "deployment_id": found.configuration,
            "point_id": found.point_id,
            "settings": None if best is None else dict(best.varied),
            _key(answer.maximised, answer): found.value,
            "reason": found.reason,
            "confidence": found.confidence,
            "margin_is_real": found.margin_is_real,
            "engine_spec": None if best is None or best.engine_name is None else deploy_file(best.engine_name),
            "others": [
                {
                    "deployment_id": other.configuration,
                    "point_id": other.point_id,
                    _key(answer.maximised, answer): other.value,
                    "margin_ratio": other.margin,
                    "margin_low_ratio": other.low,
                    "margin_high_ratio": other.high,
                    "margin_is_real": other.real,
                }
                for other in found.others
            ],
        },
        "pareto_fronts": {
            f"{_key('output_token_throughput', answer)} × output_token_throughput_per_user": one.fronts["per_user"],
            f"{_key('output_token_throughput', answer)} × time_to_first_token": one.fronts["time_to_first_token"],
        },
        "configurations": [_configuration(c, answer) for c in one.configurations],
        "next_steps": one.next_steps,
        "warnings": one.warnings,
    }


def _configuration(c: Configuration, answer: Answer) -> dict[str, Any]:
    return {
        "deployment_id": c.deployment_id,
        "settings": dict(c.varied),
        "failure": c.failure,
        "not_finished": c.pruned,
        "points": [_point(point, answer) for point in c.points],
    }


def _point(point: AnswerPoint, answer: Answer) -> dict[str, Any]:
    content = {
        "point_id": point.point_id,
        "load": point.load,
        "validity": point.validity,
        _key("output_token_throughput", answer): _value(point.throughput),
        "output_token_throughput_per_user": _value(point.per_user),
        "time_to_first_token": _value(point.time_to_first_token),
        "bound_by": [{"by": bound.by, "seen": bound.seen} for bound in point.bounds],
        "not_recommended_because": point.why_not,
    }
    if answer.maximised != "output_token_throughput":
        content[_key(answer.maximised, answer)] = _value(point.maximised)
    return content


def _value(value: Value) -> dict[str, Any]:
    names = ("value", "unit", "n", "low", "high", "interval", "above", "below", "reason")
    shown = {name: getattr(value, name) for name in names}
    return {name: content for name, content in shown.items() if content is not None and content is not False}
