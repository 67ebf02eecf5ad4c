"""Engines started with `harness engine up`: a record per engine, so that another command finds and stops them.

A record is a JSON file under the state folder. It names the server by pid and start time: a pid that was used again is
not our server.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.engine.load import LoadedEngine
from harness.errors import UsageError
from harness.target import launch, process, server_log
from harness.target.file_lock import exclusive
from harness.target.places import state_folder
from harness.target.ports import LOOPBACK, Ports, WantedPorts
from harness.target.process import Identity

LOCK_LIMIT_S = 60.0


@dataclass(frozen=True)
class StartedEngine:
    """One engine that was started and not yet taken down; it may have died since."""

    name: str
    identity: Identity
    ports: Ports
    folder: str  # the server's private folder
    log: str
    tokenizer: str
    engine_file: str
    engine_hash: str
    engine_spec: str  # the YAML text it was started with
    since_s: float  # wall time, seconds since the Unix epoch

    @property
    def alive(self) -> bool:
        """Whether its server runs."""
        return process.is_alive(self.identity)

    @property
    def url(self) -> str:
        """The gRPC address."""
        return f"{LOOPBACK}:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        """The metrics page."""
        return f"http://{LOOPBACK}:{self.ports.metrics}/metrics"

    def resident_bytes(self) -> int:
        """Memory of all its processes."""
        return sum(process.resident_bytes(member) for member in process.family(self.identity))

    def why_dead(self) -> str:
        """What its log says about its end."""
        text = server_log.read_tail(Path(self.log))
        last = server_log.last_lines(text, 1)
        return server_log.reason(text) or (f"last words: {last[0]}" if last else "its log says nothing")


def up(
    engine: LoadedEngine, wanted: WantedPorts, *, limit_s: float, progress: Callable[[str], None]
) -> tuple[StartedEngine, bool]:
    """Start the engine detached; (record, True). When it runs already: (its record, False).

    A dead one of the same name is cleared away first. Raises UsageError, TargetNotReady.
    """
    name = engine.spec.name
    with _only_one(name, progress):
        known = find(name)
        if known is not None and known.alive:
            return known, False
        if known is not None:
            down(known)
        log = _folder() / f"{name}.log"
        try:
            launched = launch.launch(
                engine,
                log,
                wanted=wanted,
                tethered=False,
                limit_s=limit_s,
                progress=progress,
                on_start=lambda launched: _remember(engine, launched),
            )
        except BaseException:
            _file(name).unlink(missing_ok=True)
            raise
        process.release(launched.child)
        return read(_file(name)), True


def down(record: StartedEngine) -> bool:
    """Stop it with everything it started and forget it; its log stays. Returns whether it was still running."""
    was_alive = record.alive
    process.stop(record.identity, grace_s=launch.GRACE_S)
    shutil.rmtree(record.folder, ignore_errors=True)
    _file(record.name).unlink(missing_ok=True)
    return was_alive


def find(name: str) -> StartedEngine | None:
    """The record of the engine with this name."""
    file = _file(name)
    return read(file) if file.is_file() else None


def find_all() -> list[StartedEngine]:
    """All records, by name."""
    return [read(file) for file in sorted(_folder().glob("*.json"))]


def read(file: Path) -> StartedEngine:
    """The record in this file. Raises UsageError when it is damaged."""
    try:
        raw = json.loads(file.read_text())
        identity, ports = Identity(**raw.pop("identity")), Ports(**raw.pop("ports"))
        return StartedEngine(identity=identity, ports=ports, **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{file} is damaged: {error}", hint="if no such engine runs (ps -ef | grep tritonserver), delete the file"
        ) from error


def _remember(engine: LoadedEngine, launched: launch.Launched) -> None:
    """Write the record in one step, before the server is ready: whatever ends this command, `down` finds the server."""
    record = StartedEngine(
        name=engine.spec.name,
        identity=launched.child.identity,
        ports=launched.ports,
        folder=str(launched.folder),
        log=str(launched.log),
        tokenizer=str(launched.tokenizer),
        engine_file=str(engine.path.absolute()),
        engine_hash=engine.hash,
        engine_spec=engine.text,
        since_s=time.time(),
    )
    file = _file(record.name)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(record), indent=2) + "\n")
    partial.replace(file)


@contextlib.contextmanager
def _only_one(name: str, progress: Callable[[str], None]) -> Iterator[None]:
    with exclusive(_folder() / f"{name}.lock", limit_s=LOCK_LIMIT_S, waiting=progress):
        yield


def _folder() -> Path:
    return state_folder() / "engines"


def _file(name: str) -> Path:
    return _folder() / f"{name}.json"
