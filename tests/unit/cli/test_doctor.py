"""`harness doctor`: a missing need is said with its mending command, and decides the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import checks, doctor
from harness.cli.checks import Check, State
from harness.errors import UsageError


def run(monkeypatch: pytest.MonkeyPatch, *found: Check) -> tuple[int, str]:
    monkeypatch.setattr(doctor, "all_checks", lambda: list(found))
    result = CliRunner().invoke(doctor.doctor, [], standalone_mode=False)
    return result.return_value, result.output


def test_a_missing_need_gives_exit_code_2_and_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Check("libpython", State.MISSING, "not found", "apt-get install libpython3.11", needed=True)
    code, said = run(monkeypatch, Check("Python", State.OK, "3.11"), lacking)
    assert code == 2
    assert "→ apt-get install libpython3.11" in said
    assert "missing for the demo: libpython" in said


def test_what_only_some_need_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    code, _ = run(monkeypatch, Check("GPU", State.WARN, "none"), Check("trtllm-bench", State.MISSING, "none"))
    assert code == 0


def test_every_check_says_something_about_this_machine() -> None:
    found = {check.name: check for check in checks.all_checks()}
    assert {"Python", "C library", "libpython for Triton", "server environment", "GPU", "clock source"} <= found.keys()
    assert all(check.said for check in found.values())


def test_a_low_open_file_limit_names_the_limit_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.resource, "getrlimit", lambda _: (256, 65536))
    check = checks.open_files()
    assert check.state is State.WARN
    assert "256" in check.said
    assert check.mend == "ulimit -n 4096"


def test_a_slow_clock_is_warned_about(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "current_clocksource"
    source.write_text("hpet\n")
    monkeypatch.setattr(checks, "CLOCKSOURCE", source)
    assert checks.clock_source().state is State.WARN
    source.write_text("tsc\n")
    assert checks.clock_source().state is State.OK


def test_an_old_c_library_is_missing_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.platform, "libc_ver", lambda: ("glibc", "2.31"))
    check = checks.c_library()
    assert (check.state, check.needed) == (State.MISSING, True)
    assert "2.35" in check.said


def test_a_python_without_its_library_brings_the_hint_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found() -> None:
        raise UsageError("no library", hint="apt-get install libpython3.11")

    monkeypatch.setattr(checks, "find_runtime", not_found)
    check = checks.libpython()
    assert (check.state, check.mend) == (State.MISSING, "apt-get install libpython3.11")


def test_an_environment_that_is_not_made_yet_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.server_environment, "find", lambda: None)
    check = checks.server_packages()
    assert check.state is State.WARN
    assert "--prepare" in (check.mend or "")
