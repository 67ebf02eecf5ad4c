"""GitHub's workflow commands: at most ten annotations, and the step summary within its limit of one MiB.

GitHub shows ten annotations of a kind per step and drops the rest; a summary above its limit is dropped whole.
"""

from __future__ import annotations

from harness.gate import verdict as verdicts
from harness.gate.verdict import Verdict
from harness.report.gate import words

MOST_ANNOTATIONS = 10
SUMMARY_BYTES = 1024 * 1024
CUT = "\n\nCut here: the rest did not fit into this summary. It stands in summary.md and report.html.\n"
LEVELS = {verdicts.PASS: "notice", verdicts.FAIL: "error", verdicts.INVALID: "error"}


def commands(verdict: Verdict, *, strict: bool = False) -> list[str]:
    """The lines to print: the verdict first, then the metrics that did not pass, then warnings."""
    level = _level(verdict.status, strict)
    lines = [_command(level, f"harness gate: {verdict.status}", verdict.sentence)]
    gating = [m for m in verdict.metrics if m.role == verdicts.GATING]
    worst_first = sorted((m for m in gating if m.status != verdicts.PASS), key=lambda m: m.status != verdicts.FAIL)
    for m in worst_first:
        title = f"{words.name(m.metric, m.statistic)}: {m.status}"
        lines.append(_command(_level(m.status, strict), title, m.reason))
    lines += [_command("warning", "harness gate", text) for text in verdict.warnings]
    return lines[:MOST_ANNOTATIONS]


def _level(status: str, strict: bool) -> str:
    return LEVELS.get(status, "error" if strict else "warning")


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def fitting(summary: bytes, already: int = 0) -> bytes:
    """The summary as far as it fits beside `already` bytes, cut at the end of a line."""
    room = SUMMARY_BYTES - already
    if len(summary) <= room:
        return summary
    end = CUT.encode("utf-8")
    kept = summary[: max(0, room - len(end))]
    kept = kept[: kept.rfind(b"\n") + 1]
    return kept + end if room >= len(end) else b""
