"""The instrument's own profile in words: what the load generator carries, and how wrong its instants are."""

from __future__ import annotations

import datetime

from harness.records.calibration import Calibration, NotCalibrated
from harness.report.numbers import digits, on_screen
from harness.report.shown import Section, TextTable

UPPER_BOUND = (
    "Measured against a truth server on the same host, whose own cost is in the errors: they are upper bounds. "
    "The table of points shows them interpolated at each point's requests in flight."
)
NOT_CALIBRATED = "Not calibrated ({}): how wrong the load generator itself is, is unknown here. Run: harness calibrate"


def section(profile: Calibration | NotCalibrated | None) -> Section:
    """The section; it says so where there is no profile."""
    title = "The instrument's own error"
    if not isinstance(profile, Calibration):
        reason = "this run has no calibration.json" if profile is None else profile.reason
        return Section("instrument", title, (NOT_CALIBRATED.format(reason),), ())
    at = datetime.datetime.fromtimestamp(profile.measured_wall_ns // 10**9, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    texts = [f"Calibrated {at} over {profile.protocol} by harness {profile.harness_version}. {UPPER_BOUND}"]
    texts += [f"Not measured: {part}, {why}." for part, why in sorted(profile.not_measured.items())]
    tables = (("Instants", _timing(profile)), ("Send lateness", _lateness(profile)), ("Ceilings", _ceilings(profile)))
    return Section("instrument", title, tuple(texts), tuple((name, table) for name, table in tables if table.rows))


def _ms(value_ns: float) -> str:
    return f"{digits(on_screen(value_ns, 'ns'))} ms"


def _timing(profile: Calibration) -> TextTable:
    rows = tuple(
        (
            str(level.streams),
            _ms(level.time_to_first_token_error_p50_ns),
            _ms(level.time_to_first_token_error_p99_ns),
            _ms(level.gap_error_p99_ns),
            f"{level.cpu_ratio:.0%}",
        )
        for level in profile.timing
    )
    return TextTable(("in flight", "TTFT error p50", "TTFT error p99", "gap error p99", "of one core"), rows)


def _lateness(profile: Calibration) -> TextTable:
    rows = tuple((f"{s.request_rate_per_s:g} req/s", _ms(s.p50_ns), _ms(s.p99_ns)) for s in profile.send_lateness)
    return TextTable(("request rate", "sent late p50", "sent late p99"), rows)


def _ceilings(profile: Calibration) -> TextTable:
    rows = tuple(
        (c.what.replace("_", " "), f"{digits(c.per_s)} per second", f"{c.cpu_ratio:.0%} of one core", c.bound_by)
        for c in profile.ceilings
    )
    return TextTable(("ceiling", "reached", "load generator", "bound by"), rows)
