"""The constructed runs must render to the samples in reports/samples.

If a change is meant: run `.venv/bin/python tests/golden/report_samples.py`, look at the new page, commit both.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gate_verdicts import verdicts
from report_samples import FOLDER, render_samples

RUNS = ("constructed", "constructed-open-loop", "constructed-batch-sweep")
PAGES = {"constructed": 6, "constructed-open-loop": 6, "constructed-batch-sweep": 6, "gate-fail": 2}  # page → drawings
GATES = tuple(f"gate-{name}.txt" for name in verdicts())
TEXTS = tuple(f"{run}.{kind}" for run in RUNS for kind in ("md", "txt"))
MOST_BYTES = 700_000  # of a sample
TOLERANCE = 0.02  # points of a drawing: the last digit may differ between machines
_DRAWING = re.compile(r"<svg.*?</svg>", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return render_samples(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", [*TEXTS, *GATES, "gate-fail.md", "gate-fail.junit.xml", "gate-fail.metrics.txt"])
def test_text_formats_are_the_sample(rendered: dict[str, bytes], name: str) -> None:
    assert rendered[name].decode() == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("run", PAGES)
def test_the_page_around_the_drawings_is_the_sample(rendered: dict[str, bytes], run: str) -> None:
    sample = (FOLDER / f"{run}.html").read_text(encoding="utf-8")
    assert len(sample.encode()) <= MOST_BYTES
    assert _DRAWING.sub("", rendered[f"{run}.html"].decode()) == _DRAWING.sub("", sample)


@pytest.mark.parametrize("run", PAGES)
def test_the_drawings_are_the_sample_but_for_the_last_digit(rendered: dict[str, bytes], run: str) -> None:
    new = _DRAWING.findall(rendered[f"{run}.html"].decode())
    old = _DRAWING.findall((FOLDER / f"{run}.html").read_text(encoding="utf-8"))
    assert len(new) == len(old) == PAGES[run]
    for ours, theirs in zip(map(_without_hashes, new), map(_without_hashes, old), strict=True):
        assert _NUMBER.sub("", ours) == _NUMBER.sub("", theirs)
        pairs = zip(_NUMBER.findall(ours), _NUMBER.findall(theirs), strict=True)
        assert max(abs(float(a) - float(b)) for a, b in pairs) <= TOLERANCE


def _without_hashes(drawing: str) -> str:
    """Clip paths and markers are named by a hash of their coordinates."""
    return re.sub(r"((?:id=\"|href=\"#|url\(#)[a-z-]+-[a-z]+)[0-9a-f]{10}", r"\1", drawing)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_writes_the_same_bytes(rendered: dict[str, bytes], tmp_path: Path, seed: str) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); from report_samples import render_samples;"
        "sys.stdout.buffer.write(render_samples(pathlib.Path(sys.argv[2]))['constructed.html'])"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    written = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=120).stdout
    assert written == rendered["constructed.html"]


@pytest.mark.parametrize("run", PAGES)
def test_the_sample_says_that_it_is_constructed(run: str) -> None:
    assert "no server was measured" in (FOLDER / f"{run}.html").read_text(encoding="utf-8")
