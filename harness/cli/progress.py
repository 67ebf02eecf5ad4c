"""Progress on the terminal while a run goes on: which point, how far, live rate, TTFT. On a pipe: a line per step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness.drivers.task import LiveFigures
from harness.records.manifest import Measurement, Point
from harness.units import show_duration


class TerminalDisplay:
    """A `campaigns.display.Display` on a rich console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._started = time.monotonic()
        self._label = ""
        self._bar = None if not console.is_terminal else _bar(console)
        self._task = self._bar.add_task("", total=None, live="", left="") if self._bar else None

    def __enter__(self) -> TerminalDisplay:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, text: str) -> None:
        """Say what begins."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=text, live="")
        self._console.print(f"[dim]{self._clock()}[/] {text}", highlight=False)

    def planned(self, points: Sequence[Point], repetitions: int, seconds: float) -> None:
        """Say how much there is to do."""
        self._console.print(
            f"[dim]{self._clock()}[/] {len(points)} points, {repetitions} measurements, about {show_duration(seconds)}"
            "  (Ctrl-C ends cleanly and keeps what was measured)",
            highlight=False,
        )
        if self._bar and self._task is not None:
            self._bar.update(self._task, total=repetitions, completed=0)

    def repetition_started(self, point: Point, repetition: int, number: int, total: int) -> None:
        """A new point."""
        self._label = point.key + (f" repetition {repetition + 1}" if point.repetitions > 1 else "")
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=f"[bold]{self._label}[/]", live="preparing")

    def figures(self, live: LiveFigures) -> None:
        """Live figures."""
        if not self._bar or self._task is None:
            return
        first = "–" if live.time_to_first_token_ms is None else f"{live.time_to_first_token_ms:.0f} ms"
        failed = f"  [red]{live.failed} failed[/]" if live.failed else ""
        text = (
            f"{live.phase.replace('_', '-')}  {live.in_flight} in flight  {live.request_rate_per_s:.1f} req/s  "
            f"{live.token_rate_per_s:.0f} tok/s  TTFT {first}{failed}"
        )
        self._bar.update(self._task, live=text)

    def repetition_finished(self, measurement: Measurement) -> None:
        """One more is done."""
        text = f"{self._label}: {measurement.taken} requests"
        if not measurement.complete:
            text += f", ended early: {measurement.ended.replace('_', ' ')}"
        self._console.print(f"[dim]{self._clock()}[/] {text}", highlight=False)
        if self._bar and self._task is not None:
            self._bar.advance(self._task)

    def remaining(self, seconds: float) -> None:
        """Beside the bar; a line per repetition would be too many."""
        if self._bar and self._task is not None:
            self._bar.update(self._task, left=f"about {show_duration(seconds)} left")

    def note(self, text: str) -> None:
        """A remark."""
        self._console.print(f"[yellow]note:[/] {text}", highlight=False)

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        return f"{minutes:d}:{seconds:02d}"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[live]}"),
        console=console,
        transient=True,
    )
