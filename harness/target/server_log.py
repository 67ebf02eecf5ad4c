"""What a Triton log says about a failure: pure functions from log text to one sentence.

The texts are those of tritonserver 2.51 (`tests/unit/target/logs/` holds captured excerpts).
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from harness.target.failure_patterns import NOISE

TAIL_BYTES = 256 * 1024
_LOAD_FAILED = re.compile(r"failed to load '(?P<model>[^']+)' version \d+: (?P<why>.*?)\"?\s*$")
_POLL_FAILED = re.compile(r"Poll failed for model directory '(?P<model>[^']+)': (?P<why>.*?)\"?\s*$")
_PROTOBUF = re.compile(r"Error parsing text-format inference\.ModelConfig: (?P<why>.*)$")
_IN_USE = re.compile(r"failed to start (?P<service>\w+) service: .*Socket '[^']*:(?P<port>\d+)' already in use")
_NO_LIBRARY = re.compile(r"error while loading shared libraries: (?P<library>\S+): cannot open shared object file")
_CREATING = re.compile(r"^error: creating server: (?P<why>.*)$")
_STAMP = r"^[IWE](?P<stamp>\d{4} \d\d:\d\d:\d\d\.\d{6}) .*"
_LOADING = re.compile(_STAMP + r"\"loading: (?P<model>[^:\"]+):\d+\"")
_LOADED = re.compile(_STAMP + r"\"successfully loaded '(?P<model>[^']+)'")
_TRACEBACK = re.compile(r"\\n\\nAt:\\n.*$")


def reason(log: str) -> str | None:
    """Why the server did not start or ended, as far as its log says: one sentence, the first cause first."""
    lines = [line for line in log.splitlines() if not NOISE.search(line)]
    for explain in (_missing_library, _port_in_use, _models_not_loaded, _not_created):
        said = explain(lines)
        if said is not None:
            return said
    return None


def fatal(log: str) -> str | None:
    """A cause after which Triton never becomes ready although it runs on.

    A stub that cannot load its library hangs; a model that failed to load is noticed only when the others have loaded,
    and one of them may be waiting for it.
    """
    lines = log.splitlines()
    return _missing_library(lines) or _models_not_loaded(lines)


def still_loading(log: str) -> list[str]:
    """Models that began to load and neither loaded nor failed: what a late server is busy with."""
    failed = {match["model"] for line in log.splitlines() if (match := _LOAD_FAILED.search(line))}
    began, loaded = _instants(_LOADING, log), _instants(_LOADED, log)
    return [model for model in began if model not in loaded and model not in failed]


def load_durations_s(log: str) -> dict[str, float]:
    """How long each model took to load, by the log's own clock (it has no year: a turn of the year is left out)."""
    began, loaded = _instants(_LOADING, log), _instants(_LOADED, log)
    spans = {model: (loaded[model] - began[model]).total_seconds() for model in loaded if model in began}
    return {model: span for model, span in spans.items() if span >= 0}


def port_in_use(log: str) -> int | None:
    """The port that Triton could not take because somebody had it."""
    match = _first(_IN_USE, log.splitlines())
    return int(match["port"]) if match else None


def last_lines(log: str, count: int = 6) -> list[str]:
    """The last lines worth reading: no option tables, no blank lines, none longer than 300 characters."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip() and line[0] not in "+|"]
    return [line if len(line) <= 300 else f"{line[:297]}…" for line in lines[-count:]]


def read_tail(path: Path) -> str:
    """The end of a log file (the last 256 KiB); empty when there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _missing_library(lines: list[str]) -> str | None:
    match = _first(_NO_LIBRARY, lines)
    return f"Triton's Python backend cannot load {match['library']}" if match else None


def _port_in_use(lines: list[str]) -> str | None:
    match = _first(_IN_USE, lines)
    return f"port {match['port']} is in use (Triton's {match['service']} service)" if match else None


def _models_not_loaded(lines: list[str]) -> str | None:
    syntax = _first(_PROTOBUF, lines)
    found = [match for line in lines if (match := _LOAD_FAILED.search(line) or _POLL_FAILED.search(line))]
    said = {
        match["model"]: _plain(syntax["why"] if syntax and match.re is _POLL_FAILED else match["why"])
        for match in found
    }
    if not said:
        return None
    return "; ".join(f"model {model} failed to load: {why}" for model, why in said.items())


def _not_created(lines: list[str]) -> str | None:
    match = _first(_CREATING, lines)
    return f"Triton could not start: {match['why']}" if match else None


def _plain(why: str) -> str:
    """An error without status prefix, Python call sites and escaped line breaks."""
    return _TRACEBACK.sub("", why.removeprefix("Internal: ")).replace("\\n", " ").strip()


def _instants(pattern: re.Pattern[str], log: str) -> dict[str, datetime]:
    """When each model is first named so. The year is that of a leap year, and means nothing."""
    instants: dict[str, datetime] = {}
    for line in log.splitlines():
        if match := pattern.search(line):
            stamp = datetime.strptime(f"2000 {match['stamp']}", "%Y %m%d %H:%M:%S.%f")
            instants.setdefault(match["model"], stamp)
    return instants


def _first(pattern: re.Pattern[str], lines: list[str]) -> re.Match[str] | None:
    return next((match for line in lines if (match := pattern.search(line))), None)
