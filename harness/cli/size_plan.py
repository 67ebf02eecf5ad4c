"""`harness plan` of a scenario with `size`: what is searched, how a probe is judged, and about how long it takes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.analysis.search import probe_requests, show
from harness.campaigns.search_steps import configurations, estimate, probes_beforehand, search_settings
from harness.errors import UsageError
from harness.scenario.load import ClosedLoop
from harness.scenario.schema import Scenario
from harness.scenario.size import Size


def show_plan(scenario: Scenario, size: Size, console: Console, csv_file: Path | None) -> None:
    """Print the plan of the search. Raises UsageError where no combination can be, or for `--csv`."""
    if csv_file is not None:
        raise UsageError(
            "--csv is for a scenario without `size`", hint="the loads of a search are not known beforehand"
        )
    settings, found = search_settings(scenario, size), configurations(scenario)
    unit = "requests in flight" if isinstance(scenario.load, ClosedLoop) else "requests/s"
    searching = probe_requests(settings.share, settings.confidence)
    confirming = probe_requests(settings.share, settings.confirm_confidence)
    lines = [
        ("scenario", scenario.name),
        ("searched", f"{show(size.lowest)} to {show(size.highest)} {unit}, to within {size.resolution:.0%}"),
        ("mode", size.mode),
        ("objectives", "; ".join(f"{o.metric} {o.statistic or ''} {o.bound[1]:g}" for o in scenario.objectives)),
        (
            "a probe",
            f"at least {searching} requests (confirmations {confirming}), two to six times as many when undecided",
        ),
        ("probes", f"about {probes_beforehand(size, settings)} for each configuration"),
        *(("configuration", one.label or "the engine as it is") for one in found),
        ("duration", estimate(size, scenario.phases.warm_up_s, settings, len(found))),
    ]
    for label, text in lines:
        console.print(f"{label:13} {text}".rstrip(), soft_wrap=True)
