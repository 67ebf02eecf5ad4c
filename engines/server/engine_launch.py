"""Starts the engine process from the `tensorrt_llm` model and says how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import channel
from channel import EngineChannel, EngineGone, failure_note

START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 3.0
HERE = Path(__file__).parent


def start(socket_path: str, engine_dir: str, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The process, not yet ready. Its output goes where tritonserver's goes."""
    failure_note(socket_path).unlink(missing_ok=True)
    command = [_python(), str(HERE / "engine_process.py"), "--socket", socket_path, "--engine-dir", engine_dir]
    command += ["--settings", json.dumps(dict(settings)), "--parent", str(os.getpid())]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _python() -> str:
    """The server environment's interpreter: inside the stub sys.executable does not name it."""
    return str(Path(sys.prefix) / "bin" / "python")


def open_channel(process: subprocess.Popen[bytes], socket_path: str, model: str, **more: Any) -> EngineChannel:
    """Connect to the new process. Raises EngineGone with the true reason, and leaves it for the others."""

    def still_hopeful() -> None:
        if process.poll() is not None:
            raise EngineGone(f"the engine process could not start: {describe_end(process)}, see the server's log")

    def explain() -> str | None:
        return describe_end(process)

    try:
        return channel.open_channel(socket_path, START_TIMEOUT_S, model, still_hopeful, explain=explain, **more)
    except EngineGone as gone:
        end(process)
        if not failure_note(socket_path).exists():  # killed, or no interpreter: it could not write one itself
            failure_note(socket_path).write_text(str(gone))
        raise


def describe_end(process: subprocess.Popen[bytes]) -> str | None:
    """`killed by SIGKILL`, `exit code 1`; None if it still runs."""
    try:
        code = process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return None
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def end(process: subprocess.Popen[bytes]) -> None:
    """Make sure that it is gone."""
    try:
        process.wait(timeout=END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
