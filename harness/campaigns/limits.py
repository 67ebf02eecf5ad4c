"""What a scenario or a plan may not ask, checked before anything is measured."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import UsageError
from harness.records.manifest import Deployment
from harness.scenario.schema import Scenario


def refuse_clamped(plan: pa.Table, deployment: Deployment) -> None:
    """Raise UsageError when a prompt and its answer exceed max_seq_len: the server would cut answers silently."""
    limit = deployment.settings.get("max_seq_len")
    if limit is None:
        return
    totals = plan.select(["point_id"]).append_column("total", pc.add(plan["input_tokens"], plan["output_tokens"]))
    for row in totals.group_by("point_id").aggregate([("total", "max")]).to_pylist():
        if row["total_max"] > int(limit):
            raise UsageError(
                f"point {row['point_id']} asks for up to {row['total_max']} tokens (prompt and answer), but the "
                f"server's max_seq_len is {limit}: it would cut answers silently",
                hint="lower input_tokens or output_tokens, or raise max_seq_len of the engine",
            )


def refuse_varied(scenario: Scenario) -> None:
    """Raise UsageError for a scenario that asks for more than its points on one deployment: `vary` or `size`."""
    if scenario.size is not None:
        raise UsageError(
            f"{scenario.name} searches for a load (`size`): its probes follow from each other",
            hint="search with: harness size; or leave `size` out",
        )
    if scenario.vary is not None:
        raise UsageError(
            f"{scenario.name} varies settings ({', '.join(scenario.vary)}): it has one deployment per combination",
            hint="measure them all and get one recommended: harness sweep; or leave `vary` out",
        )
