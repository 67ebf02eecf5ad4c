"""`search.json`: how far a search has come, configuration by configuration.

It is written before a probe is measured and again when it was judged. A search that is killed in between knows which
point it had asked for: measured to its end, the point is judged; else it is measured again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.records.store import RunFolder

FILE = "search.json"


@dataclass(frozen=True)
class AskedProbe:
    """A probe and the point it is measured as. `number`: of the point in the manifest; its seed follows from it."""

    probe: Mapping[str, Any]  # fields of analysis.search.Probe
    point_id: str
    number: int


@dataclass(frozen=True)
class JudgedProbe:
    """A probe that was measured and judged."""

    probe: Mapping[str, Any]
    point_id: str
    result: Mapping[str, Any]  # fields of assess.probe.ProbeResult


@dataclass(frozen=True)
class SearchState:
    """One configuration's search.

    `found` (fields of analysis.search.Found) or `failure` ends it; `went_away` says why the last session lost its
    target, and `set_aside` holds the INVALID probes that an earlier session gave up on.
    """

    label: str = ""
    deployment_id: str | None = None
    history: tuple[JudgedProbe, ...] = ()
    set_aside: tuple[JudgedProbe, ...] = ()
    asked: AskedProbe | None = None
    found: Mapping[str, Any] | None = None
    failure: str | None = None
    went_away: str | None = None

    def with_answer(self, result: Mapping[str, Any]) -> SearchState:
        """The state after the probe that was asked for was judged."""
        assert self.asked is not None
        judged = JudgedProbe(self.asked.probe, self.asked.point_id, result)
        return dataclasses.replace(self, asked=None, history=(*self.history, judged))


def read(folder: RunFolder) -> dict[str, SearchState]:
    """Configuration → its search, in the order in which they were begun; empty before the first."""
    path = folder.path / FILE
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {key: _state(entry) for key, entry in content.items()}


def write(folder: RunFolder, key: str, state: SearchState) -> None:
    """Replace one configuration's state."""
    states = read(folder) | {key: state}
    content = {name: dataclasses.asdict(each) for name, each in states.items()}
    folder.write_text(FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _state(entry: Mapping[str, Any]) -> SearchState:
    asked = entry.get("asked")
    lists = {name: tuple(JudgedProbe(**each) for each in entry.get(name, ())) for name in ("history", "set_aside")}
    return SearchState(**{**entry, **lists, "asked": None if asked is None else AskedProbe(**asked)})
