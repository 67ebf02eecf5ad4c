"""A run folder that is being measured: nobody else may merge its parts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from harness.errors import RunFolderError
from harness.records.schemas import TELEMETRY
from harness.records.store import PartWriter, RunFolder
from tests.oracle.runs import manifest

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


def test_who_measures_may_look_at_telemetry_without_taking_its_open_part_away(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.write_manifest(manifest([]))
    with folder.measuring():
        with PartWriter(folder.part_path("telemetry", "a1"), TELEMETRY) as writer:
            for number in range(4):
                writer.write(_sample(number))
                assert folder.telemetry()["time_ns"].to_pylist() == list(range(number + 1)), "all there is so far"
        folder.merge_parts()
    assert folder.telemetry()["time_ns"].to_pylist() == [0, 1, 2, 3], "nothing was lost by looking"
    assert not list((folder.path / "parts").glob("telemetry-*"))


def _sample(time_ns: int) -> pa.Table:
    row = {"time_ns": time_ns, "source": "host", "entity": "host", "metric": "cpu", "value": 1.0, "unit": "ratio"}
    return pa.Table.from_pylist([row], schema=TELEMETRY)
