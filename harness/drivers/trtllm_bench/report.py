"""The JSON that `trtllm-bench --report_json` writes → foreign results.

Read tolerantly: sections and keys have changed over versions, so every number that is there is taken under the own name
of the tool, and what is missing is noted. Nothing is scaled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.records.foreign import ForeignResult, ForeignValue

TOOL = "trtllm-bench"
RESULTS = ("performance", "streaming_metrics", "decoding_stats")
FACTS = ("engine", "world_info", "request_info", "dataset")
NEAREST = {  # their name → our metric that is nearest in meaning; windows and cohorts still differ
    "request_throughput_req_s": "request_throughput",
    "system_output_throughput_tok_s": "output_token_throughput",
    "system_total_throughput_tok_s": "total_token_throughput",
    "avg_request_latency_ms": "request_latency_from_send",
    "request_latency_percentiles_ms": "request_latency_from_send",
    "avg_ttft_ms": "time_to_first_token_from_send",
    "ttft_percentiles": "time_to_first_token_from_send",
    "avg_tpot_ms": "time_per_output_token",
    "tpot_percentiles": "time_per_output_token",
}
_UNITS = (("_ms", "ms"), ("_req_s", "1/s"), ("_tok_s", "tokens/s"))


def read(path: Path) -> ForeignResult:
    """The results in this file. Raises UsageError when it is no report of the tool."""
    try:
        content = path.read_bytes()
        raw = json.loads(content)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a JSON report: {error}", hint="give the file of --report_json") from error
    return parse(raw, path.name, hashlib.sha256(content).hexdigest())


def parse(raw: Any, source: str, sha256: str) -> ForeignResult:
    """The results in this parsed report. Raises UsageError when none of the tool's sections is there."""
    if not isinstance(raw, dict) or not any(isinstance(raw.get(name), dict) for name in RESULTS):
        raise UsageError(
            f"{source} is not a report of {TOOL}: it has none of the sections {', '.join(RESULTS)}",
            hint="give the file of --report_json",
        )
    values = [value for section in RESULTS for value in _values(raw.get(section), section)]
    facts = dict(fact for section in FACTS for fact in _facts(raw.get(section), section))
    notes = [] if isinstance(raw.get("streaming_metrics"), dict) else ["no streaming_metrics: run it with --streaming"]
    if not values:
        notes.append("the sections hold no numbers")
    return ForeignResult(TOOL, "engine", source, sha256, values, facts, notes)


def _values(section: Any, path: str) -> Iterator[ForeignValue]:
    """Every finite number below a section, under its path."""
    for name, value in section.items() if isinstance(section, dict) else ():
        at = f"{path}.{name}"
        if isinstance(value, dict):
            yield from _values(value, at)
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield ForeignValue(at, float(value), _unit(at), _nearest(at))


def _facts(section: Any, path: str) -> Iterator[tuple[str, str]]:
    for name, value in section.items() if isinstance(section, dict) else ():
        if isinstance(value, Mapping):
            yield from _facts(value, f"{path}.{name}")
        elif value is not None:
            yield f"{path}.{name}", str(value)


def _unit(path: str) -> str:
    """From the tool's suffixes; percentile tables of times are in milliseconds, of speeds in tokens/s."""
    for part in reversed(path.split(".")):
        for suffix, unit in _UNITS:
            if part.endswith(suffix):
                return unit
        if part in ("ttft_percentiles", "tpot_percentiles"):
            return "ms"
        if part == "gen_tps_percentiles":
            return "tokens/s"
    return ""


def _nearest(path: str) -> str | None:
    return next((NEAREST[part] for part in reversed(path.split(".")) if part in NEAREST), None)
