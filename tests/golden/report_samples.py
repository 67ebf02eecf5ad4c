"""The samples in reports/samples: what the constructed runs look like in every format.

Run this file to write them anew:

.venv/bin/python tests/golden/report_samples.py
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from fixture_run import write_fixture_run
from gate_verdicts import verdicts
from open_loop_run import write_open_loop_run
from rich.console import Console, RenderableType
from sweep_run import write_sweep_run

from harness.assess.answer import answer_of
from harness.assess.assess import assess, scenario_of
from harness.records.store import RunFolder
from harness.report import markdown, render, terminal
from harness.report.gate import junit, openmetrics, page
from harness.report.gate import markdown as gate_markdown
from harness.report.gate import terminal as gate_terminal
from harness.report.gate.view import build
from harness.report.writer import view_of

FOLDER = Path(__file__).resolve().parents[2] / "reports" / "samples"
TERMINAL_WIDTH = 120


def render_samples(scratch: Path) -> dict[str, bytes]:
    """File name → content. `scratch`: an empty folder for the runs."""
    closed = _rendered("constructed", write_fixture_run(scratch / "run"))
    opened = _rendered("constructed-open-loop", write_open_loop_run(scratch / "open-loop"))
    swept = _rendered("constructed-batch-sweep", write_sweep_run(scratch / "sweep"))
    return closed | opened | swept | render_gates()


def render_gates() -> dict[str, bytes]:
    """The gates' samples: every verdict in a terminal, the FAIL in every format."""
    gates = verdicts()
    terminals = {f"gate-{name}.txt": _printed(gate_terminal.verdict(build(gate))) for name, gate in gates.items()}
    failing = build(gates["fail"])
    return terminals | {
        "gate-fail.html": page.html(failing),
        "gate-fail.md": gate_markdown.summary(failing),
        "gate-fail.junit.xml": junit.junit(gates["fail"]),
        "gate-fail.metrics.txt": openmetrics.openmetrics(gates["fail"]),
    }


def _rendered(name: str, folder: RunFolder) -> dict[str, bytes]:
    manifest, assessment = folder.manifest(), assess(folder)
    answer = answer_of(manifest, scenario_of(manifest), assessment, folder.telemetry())
    view = view_of(folder, assessment, answer)
    return {
        f"{name}.html": render.html(view),
        f"{name}.md": markdown.summary(view),
        f"{name}.txt": _printed(terminal.table(view))
        + b"".join(_printed(terminal.answer(one), whole_lines=True) for one in view.answer),
    }


def _printed(drawn: RenderableType, *, whole_lines: bool = False) -> bytes:
    """`whole_lines`: as the command line prints an answer, whatever the terminal's width."""
    text = io.StringIO()
    Console(file=text, width=TERMINAL_WIDTH, color_system=None, soft_wrap=whole_lines).print(drawn)
    return text.getvalue().encode()


def main() -> int:
    """Write the samples."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in render_samples(Path(scratch)).items():
            (FOLDER / name).write_bytes(content)
            print(f"{FOLDER / name}: {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
