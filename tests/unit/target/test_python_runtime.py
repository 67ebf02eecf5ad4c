"""The search for a Python with its shared library."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.target import python_runtime
from harness.target.python_runtime import Runtime, find_libpython, find_runtime, inspect, parse_linker_cache

LDCONFIG = """1021 libs found in cache `/etc/ld.so.cache'
\tlibpython3.12.so.1.0 (libc6,x86-64) => /opt/other/libpython3.12.so.1.0
\tlibpython3.11.so.1.0 (libc6,x86-64) => /lib/x86_64-linux-gnu/libpython3.11.so.1.0
\tlibpython3.11.so (libc6,x86-64) => /lib/dev/libpython3.11.so
"""


def test_the_first_folder_that_has_the_library_wins(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("empty", "first", "second")]
    for folder in folders:
        folder.mkdir()
    for folder in folders[1:]:
        (folder / "libpython3.11.so.1.0").touch()
    assert find_libpython("3.11", folders) == folders[1] / "libpython3.11.so.1.0"


def test_a_library_of_another_version_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "libpython3.12.so.1.0").touch()
    (tmp_path / "libpython3.11.so").touch()
    assert find_libpython("3.11", [tmp_path]) is None


def test_the_linker_cache_is_read_for_the_exact_name() -> None:
    assert parse_linker_cache(LDCONFIG, "libpython3.11.so.1.0") == [Path("/lib/x86_64-linux-gnu")]


def test_the_interpreter_s_own_folders_come_first() -> None:
    said = {"version": "3.11", "prefix": "/opt/python", "libdir": "/install/lib", "name": None}
    assert python_runtime.search_folders(said)[:2] == [Path("/install/lib"), Path("/opt/python/lib")]


def test_the_running_interpreter_tells_its_version_and_base() -> None:
    runtime = inspect(sys.executable)
    assert runtime is not None
    assert runtime.version == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert runtime.prefix == sys.base_prefix


def test_a_program_that_is_no_python_is_passed_over() -> None:
    assert inspect("/bin/true") is None
    assert inspect("/no/such/python") is None


def pretend(monkeypatch: pytest.MonkeyPatch, runtimes: dict[str, Runtime | None]) -> None:
    monkeypatch.setattr(python_runtime, "_interpreters", lambda: list(runtimes))
    monkeypatch.setattr(python_runtime, "inspect", runtimes.get)


def test_a_python_with_its_library_is_preferred_to_the_running_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    static = Runtime("static", "3.11", "/usr", None)
    shared = Runtime("shared", "3.12", "/opt", Path("/opt/lib/libpython3.12.so.1.0"))
    pretend(monkeypatch, {"old": None, "static": static, "shared": shared})
    assert find_runtime() == shared


def test_no_library_anywhere_is_said_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"static": Runtime("static", "3.11", "/usr", None)})
    with pytest.raises(UsageError, match=r"needs libpython3\.11\.so\.1\.0") as caught:
        find_runtime()
    assert "apt-get install libpython3.11" in (caught.value.hint or "")


def test_no_supported_python_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, {"old": None})
    with pytest.raises(UsageError, match=r"needs Python 3\.11 or 3\.12"):
        find_runtime()
