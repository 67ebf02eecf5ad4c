"""A run folder that is being measured: nobody else may merge its parts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import RunFolderError
from harness.records.schemas import TELEMETRY
from harness.records.store import PartWriter, RunFolder

HOLD = """\
import sys
from pathlib import Path
from harness.records.measuring import measuring
with measuring(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def _folder(path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    writer = PartWriter(folder.part_path("telemetry", 1), TELEMETRY)
    writer.write(TELEMETRY.empty_table())
    writer.close()
    return folder


def test_parts_of_a_folder_that_another_process_measures_into_are_left_alone(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "run")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunFolderError, match="is being measured by another process"):
            folder.telemetry()
        with pytest.raises(RunFolderError, match="is being measured by another process"), folder.measuring():
            pass
        assert list(folder.path.glob("parts/*.arrow")), "nothing was removed"
        other.kill()
    folder.telemetry()
    assert not list(folder.path.glob("parts/*.arrow")), "a killed process holds nothing"


def test_the_process_that_measures_may_merge(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "run")
    with folder.measuring():
        assert folder.telemetry().num_rows == 0
    assert not (folder.path / ".measuring").exists()
