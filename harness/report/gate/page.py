"""The page of a gate that stands alone, without the report of a run; its section is the same in both."""

from __future__ import annotations

from harness.report.gate.shown import GateView
from harness.report.render import page


def html(view: GateView) -> bytes:
    """The page in UTF-8."""
    return page("gate.html.j2", machine_json=view.machine_json, gate=view)
