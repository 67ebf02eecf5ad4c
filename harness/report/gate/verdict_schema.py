"""The JSON Schema of verdict.json, made from the types that are written: `reports/verdict.schema.json` is this text.

Every field is there in every file; null means not known. New fields may come, so others are allowed.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from harness.errors import Ending
from harness.gate.verdict import ENDINGS, Verdict
from harness.gate.verdict_json import GATE, RUN, SCHEMA_VERSION

INFINITE = {"enum": ["Infinity", "-Infinity"]}
ABOUT = {
    "Verdict.gate": "which gate: pair (two live targets), run (against an accepted baseline), objectives",
    "Verdict.status": "the verdict",
    "Verdict.sentence": "the verdict in one sentence",
    "Verdict.baseline": "what was compared, for people: engine, URL or baseline file",
    "Verdict.metrics": "gating metrics first",
    "Verdict.identity": "what the two sides are, field by field",
    "Verdict.pairs": "pairs that were measured",
    "Verdict.look": "which of the declared looks decided, from 1",
    "Verdict.looks": "the declared looks, in pairs",
    "Verdict.alpha": "one-sided error rate over all looks, shared by Holm over the metrics",
    "Verdict.next_step": "what to do now",
    "Verdict.testbed": "spread and smallest honest margins of this test bed, from A/A pairs",
    "MetricVerdict.unit": "of the values: ns, per_s, ratio (0-1) or tokens",
    "MetricVerdict.role": "gating, or information",
    "MetricVerdict.kind": "log_ratio, equivalence: numbers are relative losses; difference: ratio points",
    "MetricVerdict.margin": "the largest tolerable loss, fixed before the data (0.05: 5%)",
    "MetricVerdict.effect": "the loss of the candidate; above 0 is worse",
    "MetricVerdict.confidence": "of the interval [low, high], two-sided",
    "MetricVerdict.method": "how the interval was made",
    "MetricVerdict.n": "pairs or runs it rests on",
    "MetricVerdict.p_pass": "one-sided p against 'worse than the margin'",
    "MetricVerdict.p_fail": "one-sided p against 'inside the margin'",
    "MetricVerdict.p_fail_adjusted": "the same after Holm over the gating metrics",
    "MetricVerdict.minimum_detectable_effect": "the smallest loss that this measurement would have noticed",
    "MetricVerdict.more_pairs_needed": "pairs that would decide; null where not known, or decided",
    "PairValue.index": "from 0",
    "PairValue.d": "s·ln(candidate/baseline), or the difference; above 0 is worse",
    "PairValue.first": "the arm that was measured first",
    "FieldComparison.status": "declared is the treatment; undeclared is not",
    "FieldComparison.blocking": "an undeclared difference here makes the two NOT_COMPARABLE",
}


def text() -> str:
    """The schema as JSON."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The schema of both kinds of verdict.json."""
    made = TypeAdapter(Verdict).json_schema(ref_template="#/$defs/{model}")
    definitions = {**made.pop("$defs"), "Verdict": made}
    for name, definition in definitions.items():
        definition.pop("description", None)
        definition["required"] = list(definition["properties"])
        definition["properties"] = {
            field: _described(f"{name}.{field}", content) for field, content in definition["properties"].items()
        }
    definitions["Verdict"]["properties"]["status"]["enum"] = list(ENDINGS)
    definitions["Run"] = _run()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "verdict.json of a run folder, or of a gate",
        "type": "object",
        "oneOf": [
            {"allOf": [_head(GATE), {"$ref": "#/$defs/Verdict"}, _run_beside()]},
            {"allOf": [_head(RUN), {"$ref": "#/$defs/Run"}]},
        ],
        "$defs": definitions,
    }


def _described(name: str, content: dict[str, Any]) -> dict[str, Any]:
    """A field without pydantic's titles and defaults, infinite numbers as words, and what it means."""
    plain = _with_infinity({key: value for key, value in content.items() if key not in ("title", "default")})
    return {**plain, "description": ABOUT[name]} if name in ABOUT else plain


def _with_infinity(content: dict[str, Any]) -> dict[str, Any]:
    if content.get("type") == "number":
        return {"anyOf": [content, INFINITE]}
    if "anyOf" in content:
        numbers = any(part.get("type") == "number" for part in content["anyOf"])
        return {**content, "anyOf": [*content["anyOf"], *([INFINITE] if numbers else [])]}
    return content


def _head(kind: str) -> dict[str, Any]:
    codes = sorted({ending.code for ending in Ending})
    return {
        "type": "object",
        "required": ["schema_version", "kind", "exit_code", "meaning"],
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "kind": {"const": kind},
            "exit_code": {"enum": codes, "description": "what the command ended with"},
            "meaning": {"type": "string", "description": "the exit code in one sentence"},
        },
    }


def _run_beside() -> dict[str, Any]:
    own = {"anyOf": [{"$ref": "#/$defs/Run"}, {"type": "null"}], "description": "what the run says of itself"}
    return {"required": ["run"], "properties": {"run": own}}


def _run() -> dict[str, Any]:
    """A run by itself: the validity of its points and its objectives, as `harness.assess` writes them."""
    point = {
        "type": "object",
        "required": ["validity", "objectives"],
        "properties": {
            "validity": {"type": "object", "required": ["status", "reasons"]},
            "objectives": {"type": "array", "items": {"type": "object", "required": ["metric", "status"]}},
        },
    }
    return {
        "type": "object",
        "required": ["status", "exit_code", "meaning", "metrics_version", "points", "notes"],
        "properties": {
            "status": {"enum": [ending.name for ending in Ending]},
            "exit_code": {"type": "integer"},
            "meaning": {"type": "string"},
            "metrics_version": {"type": "integer"},
            "points": {"type": "object", "additionalProperties": point},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
    }
