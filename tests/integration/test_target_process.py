"""Starting and stopping process families, with small real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.target import private_folder, process
from harness.target.file_lock import exclusive
from harness.target.process import Child, Identity

pytestmark = pytest.mark.integration

STUBBORN = """
    import signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"]
    subprocess.Popen(child)
    print("up", flush=True)
    time.sleep(60)
"""
ORPHANING = """
    import subprocess, sys
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print("up", flush=True)
"""
Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program and waits until it says that it is up; ends it after the test."""
    children: list[Child] = []

    def started(program: str, *, tethered: bool = False) -> Child:
        log = tmp_path / "log"
        command = [sys.executable, "-c", textwrap.dedent(program)]
        child = process.start(command, os.environ, log, working_folder=tmp_path, tethered=tethered)
        children.append(child)
        assert eventually(lambda: "up" in log.read_text())
        return child

    yield started
    for child in children:
        process.end(child, grace_s=0)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_family_that_ignores_sigterm_is_killed_with_its_children(start: Start) -> None:
    child = start(STUBBORN)
    members = process.family(child.identity)
    assert len(members) == 2
    killed = process.stop(child.identity, grace_s=0.2)
    assert {member.pid for member in killed} == {member.pid for member in members}
    assert process.family(child.identity) == []


def test_an_orphan_of_the_session_is_found_and_ended_after_its_leader_has_gone(start: Start) -> None:
    child = start(ORPHANING)
    child.popen.wait(timeout=20)
    orphans = process.family(child.identity)
    assert len(orphans) == 1
    process.stop(child.identity, grace_s=0)
    assert not process.is_alive(orphans[0])


def test_a_zombie_does_not_count_as_alive(start: Start) -> None:
    child = start("print('up')")
    assert eventually(lambda: not process.is_alive(child.identity))
    assert process.family(child.identity) == []


def test_a_process_with_another_start_time_is_left_alone(start: Start) -> None:
    child = start("print('up', flush=True); import time; time.sleep(60)")
    namesake = Identity(child.identity.pid, child.identity.started - 100)
    assert process.stop(namesake, grace_s=0) == []
    assert process.is_alive(child.identity)


def test_a_tethered_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    program = f"""
        import os, sys, time
        from pathlib import Path
        from harness.target import process
        child = process.start(["sleep", "60"], os.environ, Path({str(tmp_path / "log")!r}),
                              working_folder=Path({str(tmp_path)!r}), tethered=True)
        while os.readlink(f"/proc/{{child.identity.pid}}/exe") == os.readlink("/proc/self/exe"):
            time.sleep(0.02)
        print(child.identity.pid, flush=True)
        time.sleep(60)
    """
    root = Path(process.__file__).resolve().parents[2]
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        sleeper = process.identify(int(parent.stdout.readline()))
        assert sleeper is not None
        parent.kill()
    assert eventually(lambda: not process.is_alive(sleeper))


@pytest.mark.parametrize(
    ("return_code", "said"), [(1, "exit code 1"), (-signal.SIGSEGV, "signal 11 (SIGSEGV)"), (-34, "signal 34")]
)
def test_an_ending_is_said_for_people(return_code: int, said: str) -> None:
    assert process.ending(return_code).startswith(said)


def test_a_lock_is_free_again_when_its_holder_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    program = (
        f"import fcntl, time; f = open({str(path)!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('up', flush=True)"
    )
    command = [sys.executable, "-c", f"{program}; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        said: list[str] = []
        with pytest.raises(UsageError, match="has held"), exclusive(path, limit_s=0.3, waiting=said.append):
            pass
        assert len(said) == 1
        holder.kill()
    with exclusive(path, limit_s=5, waiting=said.append):
        assert len(said) == 1


def test_only_marked_folders_of_dead_servers_are_swept(start: Start, tmp_path: Path) -> None:
    alive = start("print('up', flush=True); import time; time.sleep(60)")
    dead = Identity(alive.identity.pid, alive.identity.started - 100)
    folders = {name: tmp_path / f"harness-{name}" for name in ("alive", "dead", "unmarked", "broken")}
    for folder in folders.values():
        folder.mkdir()
    private_folder.mark(folders["alive"], alive.identity)
    private_folder.mark(folders["dead"], dead)
    (folders["broken"] / private_folder.MARK).write_text("{")
    private_folder.sweep(tmp_path)
    assert {name for name, folder in folders.items() if folder.exists()} == {"alive", "unmarked", "broken"}
