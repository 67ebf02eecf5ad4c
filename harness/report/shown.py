"""The types of a view: strings ready to show, and numbers ready to plot, in the units of the screen (ms, s, %).

Nothing here computes; `view.build` fills them, the formats (HTML, Markdown, terminal) read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from harness.report.gate.shown import Forest, GateView, Pairs

CellKind = Literal["value", "bound", "missing"]


@dataclass(frozen=True)
class Cell:
    """One value of a table: its text, a smaller line under it (interval or range), and a footnote that says more."""

    text: str
    detail: str = ""
    kind: CellKind = "value"
    footnote: int | None = None
    beside: str = ""  # another view of the same value, e.g. `send 48.2`


@dataclass(frozen=True)
class Column:
    """A column of numbers. Neighbours with one `group` stand under one heading; "" is a group of its own."""

    group: str
    label: str
    unit: str


@dataclass(frozen=True)
class PointRow:
    """One point in the table of points."""

    point_id: str
    workload: str
    load: str
    validity: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class PointsTable:
    """The table of points, one row per point."""

    load_heading: str
    columns: tuple[Column, ...]
    rows: tuple[PointRow, ...]
    footnotes: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class TextTable:
    """A plain table: the text alternative of a figure, or any other list."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Line:
    """One line of a panel. `low` and `high` are an error bar; `marks` are written beside the markers."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    style: int  # colour, marker and dash together
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    marks: tuple[str, ...] = ()
    doubtful: tuple[bool, ...] = ()  # points that are not VALID: hollow
    faint: bool = False  # another view of the line of the same style: thin, dotted, without markers


@dataclass(frozen=True)
class Limit:
    """An objective, drawn as a dashed horizontal line."""

    label: str
    y: float


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    limits: tuple[Limit, ...] = ()
    log_x: bool = False
    log_y: bool = False
    x_ticks: tuple[float, ...] = ()
    empty: str = "no data"  # what stands in the panel when there is no line


@dataclass(frozen=True)
class Curves:
    """Rows of panels with lines through points."""

    rows: tuple[tuple[Panel, ...], ...]


@dataclass(frozen=True)
class Distributions:
    """Rows of panels with cumulative distributions: y is the share of requests (or gaps) at or below x."""

    rows: tuple[tuple[Panel, ...], ...]


@dataclass(frozen=True)
class HeatCell:
    """One cell: a number and its text, or a text that says why there is no number."""

    value: float | None
    text: str


@dataclass(frozen=True)
class HeatMap:
    """Cells by row (from the bottom up) and column."""

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[str, ...]
    y_ticks: tuple[str, ...]
    cells: tuple[tuple[HeatCell, ...], ...]


@dataclass(frozen=True)
class HeatMaps:
    """Heat maps side by side."""

    maps: tuple[HeatMap, ...]


@dataclass(frozen=True)
class Band:
    """The time one repetition of a point took, in seconds from the start of the run."""

    label: str
    start_s: float
    window_start_s: float | None
    window_end_s: float | None
    end_s: float


@dataclass(frozen=True)
class Track:
    """One strip of the timeline; all share the time axis. `legend`: the lines need their names."""

    y_label: str
    lines: tuple[Line, ...]
    legend: bool = False


@dataclass(frozen=True)
class Timeline:
    """Strips over one time axis."""

    bands: tuple[Band, ...]
    tracks: tuple[Track, ...]


@dataclass(frozen=True)
class Bars:
    """Stacked counts: one bar per label, one segment per kind."""

    x_label: str
    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]  # by label, then by kind


@dataclass(frozen=True)
class FigureView:
    """A figure: what it says in words, what is drawn, its numbers as a table. Without content, `caption` says why."""

    key: str
    title: str
    description: str
    caption: str
    content: Curves | Distributions | HeatMaps | Timeline | Bars | Forest | Pairs | None
    table: TextTable


@dataclass(frozen=True)
class Verdict:
    """Whether the run can be believed: one word, one sentence, and the kinds of doubt."""

    word: str
    sentence: str
    counts: tuple[tuple[str, int], ...] = ()  # word → points
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A kind of reason against believing points, what was seen at which of them, and how to make it go away."""

    title: str
    severity: str
    points: int
    sightings: tuple[tuple[str, str], ...]  # (point or points, what was seen)
    advice: str


@dataclass(frozen=True)
class Judgement:
    """How one objective came out at one point."""

    status: str
    observed: str


@dataclass(frozen=True)
class Objectives:
    """Objectives (columns) at points (rows). `request_bounds`: what goodput and attainment ask of every request."""

    titles: tuple[str, ...]
    request_bounds: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Judgement, ...]], ...]
    summary: str


@dataclass(frozen=True)
class Facts:
    """A titled list of names and values."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Definition:
    """A metric that occurs in the report."""

    name: str
    title: str
    unit: str
    better: str
    text: str


@dataclass(frozen=True)
class Section:
    """A section that only some runs have: sentences, then tables with their titles ("" for none)."""

    key: str
    title: str
    texts: tuple[str, ...]
    tables: tuple[tuple[str, TextTable], ...]


@dataclass(frozen=True)
class AnswerView:
    """The answer of a sweep to one workload, the most wanted first. `command` is empty without a recommendation."""

    key: str
    title: str
    headline: str
    evidence: tuple[str, ...]
    margin: str
    warnings: tuple[str, ...]
    table: TextTable
    note: str
    figure: FigureView
    next_steps: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class View:
    """Everything a report says, in the order in which it says it."""

    title: str
    sentence: str
    description: str
    measured_at: str
    verdict: Verdict
    results: tuple[str, ...]
    objectives: Objectives
    notes: tuple[str, ...]
    table: PointsTable
    details: tuple[Section, ...]  # of the points: schedule, tenants, turns
    figures: tuple[FigureView, ...]
    findings: tuple[Finding, ...]
    beside: tuple[Section, ...]  # cross-check, instrument, other tools
    telemetry: Facts
    identity: tuple[Facts, ...]
    all_values: tuple[tuple[str, TextTable], ...]
    definitions: tuple[Definition, ...]
    command: str
    documents: tuple[tuple[str, str], ...]  # title, text: too long for a line
    machine_json: str = field(repr=False)
    gate: GateView | None = None  # where a gate has judged this run
    answer: tuple[AnswerView, ...] = ()  # of a sweep, per workload
