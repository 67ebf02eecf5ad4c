"""`harness calibrate`: what the load generator carries on this host, and how wrong its instants are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.units import to_milliseconds

if TYPE_CHECKING:
    from harness.records.calibration import Calibration


@click.command("calibrate")
@click.option("--show", is_flag=True, help="Show the profile in force, measure nothing.")
@click.option("--window-s", type=click.FloatRange(1, 60), default=6.0, show_default=True, help="length of each window")
def calibrate(show: bool, window_s: float) -> int:
    """Measure this host with the truth server (one to two minutes) and keep the profile; runs copy and use it.

    \b
      harness calibrate           measure and keep
      harness calibrate --show    what is in force
    """
    from harness.campaigns import calibration_profile
    from harness.errors import UsageError
    from harness.records.calibration import NotCalibrated

    if show:
        found = calibration_profile.in_force()
        if isinstance(found, NotCalibrated):
            raise UsageError(f"not calibrated: {found.reason}")
        click.echo("\n".join(lines(found)))
        return 0
    profile = _measured(window_s)
    path = calibration_profile.keep(profile)
    click.echo("\n".join([*lines(profile), f"kept: {path}"]))
    return 0


def _measured(window_s: float) -> Calibration:
    from rich.console import Console

    from harness.campaigns.calibrate import calibrate as run_calibration
    from harness.cli.progress import TerminalDisplay

    with TerminalDisplay(Console(stderr=True, soft_wrap=True)) as display:
        return run_calibration(display, window_s=window_s)


def lines(profile: Calibration) -> list[str]:
    """The profile for people."""
    text = [f"{'streams':>8}  {'TTFT error p50':>14}  {'p99':>9}  {'gap error p99':>13}  {'CPU':>5}  requests"]
    for level in profile.timing:
        text.append(
            f"{level.streams:>8}  {_ms(level.time_to_first_token_error_p50_ns):>14}"
            f"  {_ms(level.time_to_first_token_error_p99_ns):>9}  {_ms(level.gap_error_p99_ns):>13}"
            f"  {level.cpu_ratio:>5.0%}  {level.samples}"
        )
    for ceiling in profile.ceilings:
        at_least = "" if ceiling.bound_by == "client" else ", limited by the truth server or the machine"
        text.append(
            f"{ceiling.what.replace('_', ' ')}: {ceiling.per_s:,.0f}/s at {ceiling.cpu_ratio:.0%} of a core{at_least}"
        )
    for late in profile.send_lateness:
        text.append(f"send lateness at {late.request_rate_per_s:g}/s: p50 {_ms(late.p50_ns)}, p99 {_ms(late.p99_ns)}")
    text += [f"{part.replace('_', ' ')}: not measured: {why}" for part, why in profile.not_measured.items()]
    return text


def _ms(nanoseconds: float) -> str:
    return f"{to_milliseconds(nanoseconds):.2f} ms"
