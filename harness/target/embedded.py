"""The embedded target: a real Triton with a real small LLM on this machine, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from harness.engine.load import LoadedEngine
from harness.target import launch
from harness.target.endpoint import Endpoint
from harness.target.launch import Launched
from harness.target.places import cache_folder
from harness.target.ports import LOOPBACK, WantedPorts
from harness.target.process import is_alive
from harness.target.readiness import why_dead

LOGS_KEPT = 20
SETTLE_S = 0.5


class EmbeddedTarget:
    """Start on entry, stop on exit; the server also stops when this process ends, however it ends.

    Enter it in the main thread: the kernel ties the server's life to the thread that started it.
    """

    def __init__(
        self,
        engine: LoadedEngine,
        model: str,
        *,
        progress: Callable[[str], None],
        protocol: str = "triton_grpc",
        log: Path | None = None,
    ) -> None:
        self._engine = engine
        self._protocol = protocol
        self._model = model
        self._progress = progress
        self.log_path = log or new_log(engine.spec.name)
        self._launched: Launched | None = None

    def __enter__(self) -> EmbeddedTarget:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._launched = launch.launch(
            self._engine, self.log_path, wanted=WantedPorts(), tethered=True, progress=self._progress
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._launched is not None:
            launch.shut_down(self._launched)

    @property
    def endpoint(self) -> Endpoint:
        """How to ask it."""
        running = self._running()
        return Endpoint(
            name=self._engine.spec.name,
            url=f"{LOOPBACK}:{running.ports.grpc if self._protocol == 'triton_grpc' else running.ports.http}",
            protocol=self._protocol,
            grpc_url=f"{LOOPBACK}:{running.ports.grpc}",
            model=self._model,
            metrics_url=f"http://{LOOPBACK}:{running.ports.metrics}/metrics",
            tokenizer=running.tokenizer,
            server_pids=tuple(member.pid for member in running.family),
        )

    @property
    def start_phases(self) -> dict[str, float]:
        """When it reached what, in seconds since its process was started."""
        return dict(self._running().start_phases)

    def check_alive(self) -> str | None:
        """None while the server runs with all its processes; else what ended and how."""
        running = self._running()
        gone = [member.pid for member in running.family if not is_alive(member)]
        if gone:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.child.popen.wait(SETTLE_S)  # Triton itself may be on its way out: then that is the cause
        dead = why_dead(running.child.popen, self.log_path)
        if dead is None and gone:
            return f"a process of the server ended: pid {', '.join(map(str, gone))}; see {self.log_path}"
        return dead

    def _running(self) -> Launched:
        if self._launched is None:
            raise RuntimeError("EmbeddedTarget is used outside its with block")
        return self._launched


def new_log(name: str) -> Path:
    """A log file of its own in the cache; the newest LOGS_KEPT are kept."""
    folder = cache_folder() / "logs"
    old = sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime) if folder.is_dir() else []
    for file in old[: max(0, len(old) - LOGS_KEPT + 1)]:
        file.unlink(missing_ok=True)
    return folder / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
