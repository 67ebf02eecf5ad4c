"""One value read at one instant: the row of `telemetry.parquet`.

A value that could not be read is no row. Nothing here ever stands for "unknown": no zero, no minus one, no NaN.
"""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """`value` of `metric`, in `unit`, as `source` told it about `entity` (a GPU uuid, model, process) at `time_ns`.

    `time_ns` is CLOCK_MONOTONIC, taken when the value was read. README.md beside this file lists all metrics and units.
    """

    time_ns: int
    source: str
    entity: str
    metric: str
    value: float
    unit: str
