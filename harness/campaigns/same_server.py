"""Whether a server that was started again is the one that was measured before: what identifies it, not where it lies.

Folders, sockets and the ports of this host differ from start to start; of a path only its last part is compared, and
our own temporary folders and local ports not at all. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.records.manifest import Deployment

COMPARED = ("model", "protocol", "engine_hash", "weights_hash", "tokenizer_hash", "settings", "server")
MOST_NAMED = 3
LONGEST_VALUE = 60  # characters
ABSENT = "(not told)"
OF_ONE_START = re.compile(r"harness-[a-z0-9_]{8}|(127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0):\d+")


def changes(before: Deployment, now: Deployment) -> list[str]:
    """What a server says of itself otherwise than before, each as `server.version: 2.53.0, now 2.54.0`."""
    pairs = (_changed(name, getattr(before, name), getattr(now, name)) for name in COMPARED)
    return [text for found in pairs for text in found]


def note(attempt: int, who: str, before: Deployment, now: Deployment) -> str | None:
    """The remark for the manifest and the person where the server changed; None where it is the same."""
    found = changes(before, now)
    if not found:
        return None
    rest = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return (
        f"attempt {attempt}: the {who} describes itself differently than before: {'; '.join(found[:MOST_NAMED])}{rest}"
    )


def _changed(name: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}, key=str):
            yield from _changed(f"{name}.{key}", before.get(key, ABSENT), now.get(key, ABSENT))
    elif _identity(before) != _identity(now):
        yield f"{name}: {_shown(before)}, now {_shown(now)}"


def _identity(value: Any) -> Any:
    """A value without what belongs to one start of a server."""
    if isinstance(value, Mapping):
        return {key: _identity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_identity(item) for item in value]
    return OF_ONE_START.sub("", value.rstrip("/").rpartition("/")[2]) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 2] + " …"
