"""What one part of a scenario asks of another: recorded lengths of a trace, phases of arrivals, tenants of parts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.scenario.arrivals import Arrivals, StepArrivals, TraceArrivals
from harness.scenario.lengths import Recorded
from harness.scenario.load import ClosedLoop, Load, MultiTenant, arrivals_of
from harness.scenario.prompts import FilePrompts, RecordedBlocks
from harness.scenario.spelling import nearest
from harness.scenario.strict import mistake
from harness.scenario.trace_file import TraceRow, first_row_of
from harness.scenario.workload import Part, Workload


def refuse_misfits(load: Load, workloads: Sequence[Workload], window_s: float | None, look_at_files: bool) -> None:
    """Raise a mistake at the first thing that does not fit; traces are looked into only when `look_at_files`."""
    if not isinstance(load, ClosedLoop):
        _refuse_window(load, window_s)
    if isinstance(load, MultiTenant):
        _refuse_unknown_parts(load, workloads)
    for number, workload in enumerate(workloads):
        for ordinal, part in enumerate(workload.parts):
            _refuse_unrecorded(part, load, ("workload", number, "parts", ordinal), look_at_files)


def _refuse_window(load: Load, window_s: float | None) -> None:
    if window_s is None:
        raise mistake("the window of an open loop is a length of time: use `window_s`", "phases", "window_requests")
    for arrivals in arrivals_of(load):
        if (
            isinstance(arrivals, StepArrivals)
            and len(arrivals.request_rate_per_s) * arrivals.step_s > window_s * 1.000001
        ):
            steps = len(arrivals.request_rate_per_s)
            total = steps * arrivals.step_s
            raise mistake(
                f"{steps} steps of {arrivals.step_s:g} s take {total:g} s, the window is {window_s:g} s:"
                f" set phases.window_s to {total:g}",
                "load",
                "arrivals",
                "step_s",
            )


def _refuse_unknown_parts(load: MultiTenant, workloads: Sequence[Workload]) -> None:
    for workload in workloads:
        known = [part.name for part in workload.parts]
        for number, tenant in enumerate(load.tenants):
            for place, name in enumerate(tenant.parts or ()):
                if name not in known:
                    meant = nearest(name, known)
                    hint = f", did you mean `{meant}`?" if meant else ";"
                    message = f"workload {workload.name} has no part {name!r}{hint} it has: {', '.join(known)}"
                    raise mistake(message, "load", "tenants", number, "parts", place)


def _refuse_unrecorded(part: Part, load: Load, place: tuple[str | int, ...], look: bool) -> None:
    """Refuse lengths and blocks that nothing has recorded; lengths of a file of prompts are that file's."""
    from_file = isinstance(part.prompts, FilePrompts)
    wanted = [] if from_file else _recorded(part)
    if not wanted:
        return
    processes: list[Arrivals | None] = [*arrivals_of(load)]
    for arrivals in processes or [None]:
        if not isinstance(arrivals, TraceArrivals):
            says = "there is nothing recorded: use `load: {kind: open_loop, arrivals: {process: trace, …}}`"
            raise mistake(says if wanted != ["prompts"] else f"no block ids, {says}", *place, wanted[0])
        if look:
            _refuse_missing(first_row_of(arrivals.file), arrivals, wanted, place)


def _recorded(part: Part) -> list[str]:
    """The fields of a part that take what a trace has."""
    fields = [name for name in ("input_tokens", "output_tokens") if isinstance(getattr(part, name), Recorded)]
    return fields + (["prompts"] if isinstance(part.prompts, RecordedBlocks) else [])


def _refuse_missing(row: TraceRow, arrivals: TraceArrivals, wanted: list[str], place: tuple[str | int, ...]) -> None:
    has = {
        "input_tokens": row.input_tokens is not None,
        "output_tokens": row.output_tokens is not None,
        "prompts": bool(row.blocks),
    }
    what = {"input_tokens": "input lengths", "output_tokens": "output lengths", "prompts": "block ids"}
    for name in wanted:
        if not has[name]:
            raise mistake(f"the trace {arrivals.file.name} has no {what[name]}", *place, name)
