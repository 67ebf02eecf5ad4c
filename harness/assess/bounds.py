"""What bound a point of a run: the server's gauges in its windows, read by `analysis.bound_by`."""

from __future__ import annotations

import pyarrow as pa

from harness.analysis.bound_by import Bound, bound_by
from harness.analysis.gauges import reading
from harness.records.manifest import Deployment, Manifest


def bounds_of(manifest: Manifest, telemetry: pa.Table, deployment: Deployment, point_id: str) -> list[Bound]:
    """The tightest first; empty when nothing held the engine back. `telemetry` has schema TELEMETRY."""
    windows = [
        (m.window_start_ns, m.window_end_ns)
        for m in manifest.measurements
        if m.point_id == point_id and m.window_start_ns is not None and m.window_end_ns is not None
    ]
    limit = deployment.settings.get("max_num_tokens")
    seen = reading(telemetry, windows, manifest.telemetry_not_available.get("prometheus"))
    return bound_by(seen, int(limit) if isinstance(limit, int | float) else None)
