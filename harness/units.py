"""Units: base units inside, scaling at the edge.

Instants and durations are integer nanoseconds (`_ns`), sizes bytes (`_bytes`), shares ratios 0-1 (`_ratio`). Only the
functions here turn them into what people read or write (seconds in YAML, milliseconds on screen).
"""

from __future__ import annotations

from typing import NewType

Nanoseconds = NewType("Nanoseconds", int)

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def from_seconds(seconds: float) -> Nanoseconds:
    """Seconds as written in YAML, to nanoseconds (rounded to the nearest)."""
    return Nanoseconds(round(seconds * NS_PER_S))


def to_seconds(duration: int) -> float:
    """Nanoseconds to seconds."""
    return duration / NS_PER_S


def to_milliseconds(duration: float) -> float:
    """Nanoseconds to milliseconds."""
    return duration / NS_PER_MS


def show_bytes(size: float) -> str:
    """A size for people, in binary units: `1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def show_duration(seconds: float) -> str:
    """A duration for people: `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
