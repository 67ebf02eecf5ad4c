"""Does `harness size` find what an exhaustive sweep finds, with a third of its requests? `python -m tests.bench.sizing`

Not a test: about 20 minutes on a quiet machine. On the embedded engine: `harness sweep` over max_batch_size x
max_num_tokens x every concurrency of a grid as fine as the search resolves, killed in the middle (SIGKILL) and resumed;
then `harness size` over the same configurations. Prints, per configuration, what either says, and whether

- the interval of the search's edge overlaps that of the sweep (highest load that meets the objective to lowest that
  does not),
- the search recommends what the sweep does, or how much less it gives, and
- it took at most a third of the sweep's requests.

`--folder DIR` keeps the run folders there, and goes on with a sweep that is in it already.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.assess.assess import assess
from harness.metrics.results import POINT_VALUE
from harness.records.store import RunFolder

HARNESS = [sys.executable, "-m", "harness.cli.main"]
RESOLUTION = 0.2
LOWEST, HIGHEST = 2, 64
THROUGHPUT = "output_token_throughput"
REPETITIONS, REQUESTS = 2, 300
MOST_SHARE = 1 / 3
ATTEMPTS = 3  # of the sweep: the killed one, the resumed one, and one more for whatever else happens
HEAD = """\
version: 1
target: {engine: cpu-tiny, model: ensemble}
vary: {max_batch_size: [4, 16], max_num_tokens: [64, 512]}
workload: {input_tokens: 64, output_tokens: 16}
objectives: [{metric: time_to_first_token, statistic: p90, at_most_ms: 100}]
request: {timeout_s: 20}
telemetry: {period_s: 0.25}
"""
SWEEP = """\
name: exhaustive
load: {{kind: closed_loop, concurrency: {levels}, max_requests: 4000}}
phases: {{warm_up_s: 1, window_requests: {requests}}}
repetitions: {repetitions}
"""
SIZE = """\
name: searched
load: {{kind: closed_loop, concurrency: [1], max_requests: 8000}}
size: {{lowest: {lowest}, highest: {highest}, resolution: {resolution}}}
phases: {{warm_up_s: 1}}
"""


@dataclass(frozen=True)
class Best:
    """What one way says of one configuration: where its edge lies, and output tokens/s where it is best inside it."""

    low: float | None  # highest load that meets the objective
    high: float | None  # lowest load above it that does not
    at: float | None  # load of `values`
    values: tuple[float, ...]  # output tokens/s, one per repetition
    why: str = ""

    @property
    def typical(self) -> float:
        """The median, 0 without any."""
        return statistics.median(self.values) if self.values else 0.0

    def overlaps(self, other: Best) -> bool:
        """Whether the two edges can be the same load."""
        if self.low is None or other.low is None:
            return self.low is other.low
        return self.low < (other.high or math.inf) and other.low < (self.high or math.inf)

    def __str__(self) -> str:
        if self.low is None:
            return f"none: {self.why}"
        edge = f"edge {self.low:g} to {self.high or math.inf:g}"
        return f"{edge}; at {self.at:g}: {min(self.values):.0f} to {max(self.values):.0f} tokens/s"


def levels() -> list[int]:
    """Every load that the search can tell apart."""
    found, level = [], float(LOWEST)
    while level <= HIGHEST:
        found.append(max(round(level), found[-1] + 1 if found else LOWEST))
        level = found[-1] * (1 + RESOLUTION)
    return found


def exhaustive(work: Path) -> RunFolder:
    """The sweep's folder, complete: killed once half of it is measured, and resumed."""
    text = SWEEP.format(levels=levels(), requests=REQUESTS, repetitions=REPETITIONS)
    (work / "exhaustive.yaml").write_text(HEAD + text)
    for attempt in range(ATTEMPTS):
        known = sorted((work / "runs").glob("*-exhaustive-*"))
        arguments = ["--resume", str(known[0])] if known else ["exhaustive.yaml"]
        code = _sweep(work, arguments, killed=attempt == 0 and not known)
        if code in (0, 1, 3):
            break
        print(f"sweep: attempt {attempt + 1} ended with {code}", flush=True)
    (folder,) = (work / "runs").glob("*-exhaustive-*")
    return RunFolder.open(folder)


def _sweep(work: Path, arguments: list[str], *, killed: bool) -> int:
    half = len(levels()) * 4 * REPETITIONS // 2
    with subprocess.Popen([*HARNESS, "sweep", *arguments], cwd=work) as child:
        deadline = time.monotonic() + 3000
        while killed and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
            for path in (work / "runs").glob("*-exhaustive-*/manifest.json"):
                if len(json.loads(path.read_text())["measurements"]) >= half:
                    child.send_signal(signal.SIGKILL)
                    killed = False
        return child.wait(timeout=3000)


def searched(work: Path) -> RunFolder:
    """The search's folder."""
    text = SIZE.format(lowest=LOWEST, highest=HIGHEST, resolution=RESOLUTION)
    (work / "searched.yaml").write_text(HEAD + text)
    known = sorted((work / "runs").glob("*-searched-*"))
    arguments = ["--resume", str(known[0])] if known else ["searched.yaml"]
    subprocess.run([*HARNESS, "size", *arguments], cwd=work, check=False, timeout=3000)
    (folder,) = (work / "runs").glob("*-searched-*")
    return RunFolder.open(folder)


def best_of_sweep(folder: RunFolder) -> dict[str, Best]:
    """Configuration → its best point that may be recommended, one value per repetition."""
    answer = json.loads((folder.path / "answer.json").read_text())
    values = {
        point.point_id: tuple(r.metrics[THROUGHPUT][POINT_VALUE].value or 0.0 for r in point.repetitions)
        for point in assess(folder).points
    }
    found = {}
    for one in answer["workloads"][0]["configurations"]:
        points = sorted(one["points"], key=_load)
        good = [p for p in points if not p.get("not_recommended_because")]
        if not good:
            found[_key(one["settings"])] = Best(None, None, None, (), "no point meets the objective")
            continue
        best, low = max(good, key=lambda p: statistics.median(values[p["point_id"]])), _load(good[-1])
        missed = [_load(p) for p in points if "misses" in (p.get("not_recommended_because") or "") and _load(p) > low]
        found[_key(one["settings"])] = Best(low, min(missed, default=None), _load(best), values[best["point_id"]])
    return found


def _load(point: dict[str, Any]) -> float:
    return float(point["load"].split()[-1])


def best_of_search(folder: RunFolder) -> dict[str, Best]:
    """Configuration → the load found, with the throughput of the probes that held there."""
    answer = json.loads((folder.path / "size.json").read_text())
    states = json.loads((folder.path / "search.json").read_text())
    found = {}
    for one in answer["configurations"]:
        held = [h["result"] for h in states[one["configuration"]]["history"] if h["probe"]["load"] == one["load"]]
        values = tuple(r[THROUGHPUT] for r in held if r["answer"] == "held")
        found[one["settings"]] = Best(one["load"], one["high"], one["load"], values, one["why"])
    return found


def cohort(folder: RunFolder) -> int:
    """Requests of all windows."""
    return sum(phase == "window" for phase in folder.requests()["phase"].to_pylist())


def _key(settings: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep the runs here")
    given = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(given or scratch).resolve()
        work.mkdir(parents=True, exist_ok=True)
        sweep, search = exhaustive(work), searched(work)
        full, quick = best_of_sweep(sweep), best_of_search(search)
        requests, spent = cohort(sweep), cohort(search)
    for key, best in full.items():
        apart = "" if best.overlaps(quick[key]) else "   EDGES DO NOT OVERLAP"
        print(f"\n{key}\n  sweep:  {best}\n  search: {quick[key]}{apart}")
    winner, recommended = (max(each, key=lambda key: each[key].typical) for each in (full, quick))
    print(f"\nthe sweep recommends {winner}, the search {recommended}")
    short = 1 - full[recommended].typical / full[winner].typical
    print(f"by the sweep's own figures, what the search recommends gives {short:.1%} less than the optimum")
    share = spent / requests
    verdict = "at most a third" if share <= MOST_SHARE else "MORE THAN A THIRD"
    print(f"requests: sweep {requests:,}, search {spent:,}: {share:.0%}, {verdict}")


if __name__ == "__main__":
    main()
