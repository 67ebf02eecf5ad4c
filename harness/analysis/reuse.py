"""The reason `kv_cache_reuse`: prompts meant to be unique were computed from a cache, so the server looks too fast.

Seen from two sides: prompts that occur twice in the plan while the server reuses its KV cache, and the server's own
counter of reused blocks. Prompts that share prefixes on purpose are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from harness.analysis import thresholds as limits
from harness.analysis.evidence import Evidence, MeasuredRepetition
from harness.metrics.columns import known
from harness.metrics.results import Reason

REUSED, BLOCK_TOKENS = "nv_trt_llm_kv_cache_block_metrics.reused", "nv_trt_llm_kv_cache_block_metrics.tokens_per"


def kv_cache_reuse(evidence: Evidence) -> Iterator[Reason]:
    """Unique prompts that were not computed."""
    yield from evidence.reason(
        "kv_cache_reuse",
        "SUSPECT",
        lambda r: _repeated(r) or _reused(r),
        "send nothing else to the server, start it afresh, or switch off enable_kv_cache_reuse",
    )


def _repeated(r: MeasuredRepetition) -> str | None:
    """Requests with one id have one prompt: besides the salt, a unique prompt depends on its id alone."""
    if not r.deployment.settings.get("enable_kv_cache_reuse"):
        return None
    ids = r.rows.table["request_id"]
    repeated = len(ids) - len(ids.unique())
    if repeated <= limits.REUSED_SHARE * max(1, len(ids)):
        return None
    return f"{repeated} of {len(ids)} prompts occur twice, and the server reuses its KV cache"


def _reused(r: MeasuredRepetition) -> str | None:
    """The blocks that the server took from its cache in the window, against the prompts it was sent in it."""
    if r.window is None or _shares_prefixes(r):
        return None
    blocks = sum(float(values[-1] - values[0]) for _, _, values in r.telemetry(None, REUSED) if values.size > 1)
    sizes = [float(values[-1]) for _, _, values in r.telemetry(None, BLOCK_TOKENS) if values.size]
    rows = r.rows
    tokens = float(rows.input_tokens_asked[r.cohort & known(rows.sent_ns)].sum())
    if blocks <= 0 or not sizes or tokens == 0:
        return None
    share = blocks * max(sizes) / tokens
    if share <= limits.REUSED_SHARE:
        return None
    return (
        f"the server took {share:.0%} of the prompt tokens from its cache ({blocks:.0f} blocks), yet prompts are unique"
    )


def _shares_prefixes(r: MeasuredRepetition) -> bool:
    """Whether the plan lets prompts share their beginnings; without a plan nobody knows, so nothing is claimed."""
    plan = r.beside.plan
    if plan is None:
        return True
    own = plan.filter(pc.equal(plan["point_id"], pa.scalar(r.point.point_id)))
    if r.parts_from_file:
        return True
    return bool(own["prefix_ids"].null_count < own.num_rows) or bool(own["session_id"].null_count < own.num_rows)
