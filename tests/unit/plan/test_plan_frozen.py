"""Plans of closed loops are what they were when the first baselines were measured, column by column.

A change here means that the same scenario asks something else than before: raise the schema version then.
"""

from __future__ import annotations

import hashlib

from plan_scenarios import MIX, fixed, scenario

from harness.plan.draw import draw
from harness.plan.matrix import points

FIRST_COLUMNS = 19  # those of the first release; later ones are null for its scenarios
DIGESTS = {
    "arm": "c52ffe42198ca353",
    "cancel_after_ns": "c52ffe42198ca353",
    "cancel_after_tokens": "c52ffe42198ca353",
    "index": "972052bad338dc41",
    "input_tokens": "ca56375926b07edd",
    "intended_offset_ns": "c52ffe42198ca353",
    "output_tokens": "82814754795d48bb",
    "phase": "c52ffe42198ca353",
    "point_id": "4944b28a9f61b303",
    "prefix_ids": "6a2528cb5271d05c",
    "prompt_seed": "1a6eda04e4c34037",
    "repetition": "b07192d1ea6d382c",
    "session_id": "c52ffe42198ca353",
    "tenant": "c8a604e6b05dac19",
    "think_time_ns": "c52ffe42198ca353",
    "timeout_ns": "97a4e89887f1519f",
    "traced": "acaa5c64c0d2f5ff",
    "turn": "c52ffe42198ca353",
    "workload_part": "8708b8be18806140",
}


def digests() -> dict[str, str]:
    of = scenario([MIX, fixed("short", 16)], (1, 3), max_requests=500, repetitions=2, seed=11)
    plan = draw(of, points(of, "d"), special_tokens=1)
    assert all(plan[name].null_count == plan.num_rows for name in plan.column_names[FIRST_COLUMNS:])
    return {
        name: hashlib.sha256(repr(plan[name].to_pylist()).encode()).hexdigest()[:16]
        for name in plan.column_names[:FIRST_COLUMNS]
    }


def test_a_closed_loop_is_planned_as_ever() -> None:
    assert digests() == DIGESTS
