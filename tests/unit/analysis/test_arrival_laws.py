"""What the plan draws is what the judge expects: every process of the scenario language, drawn by the real plan."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter

from harness.analysis.arrival_fit import Fit, fit
from harness.analysis.arrival_laws import law_of
from harness.analysis.thresholds import ARRIVAL_DISTANCE, ARRIVAL_P_VALUE
from harness.metrics.window import Window
from harness.plan.arrivals import Spans, arrival_offsets
from harness.scenario.arrivals import Arrivals, rate_levels
from tests.oracle.runs import T0

SPANS = Spans(5 * 10**9, 65 * 10**9, 75 * 10**9)
WINDOW = Window(T0 + SPANS.window_start_ns, T0 + SPANS.window_end_ns, T0 + SPANS.end_ns)
PROCESSES = {
    "constant": {"process": "constant", "request_rate_per_s": 30},
    "poisson": {"process": "poisson", "request_rate_per_s": 30},
    "gamma": {"process": "gamma", "request_rate_per_s": 30, "burstiness": 0.3},
    "on_off": {"process": "on_off", "request_rate_per_s": 30, "on_s": 3, "off_s": 4},
    "ramp": {"process": "ramp", "from_request_rate_per_s": 5, "to_request_rate_per_s": 55},
    "steps": {"process": "steps", "request_rate_per_s": [5, 60, 25], "step_s": 20},
}


def named(name: str) -> Arrivals:
    arrivals: Arrivals = TypeAdapter(Arrivals).validate_python(PROCESSES[name])
    return arrivals


def judged(sent: str, law_name: str, seed: int) -> Fit:
    rate = (rate_levels(named(sent)) or [0.0])[0]
    instants = arrival_offsets(named(sent), rate, SPANS, seed, ("w",)) + T0
    levels = rate_levels(named(law_name))
    law = law_of(named(law_name), levels[0] if levels else None, WINDOW)
    assert law is not None
    found = fit(instants[WINDOW.holds(instants)], law)
    assert found is not None
    return found


def is_odd(found: Fit) -> bool:
    return found.distance > ARRIVAL_DISTANCE and (found.p_value is None or found.p_value < ARRIVAL_P_VALUE)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_plan_of_each_process_fits_its_own_law(name):
    assert not any(is_odd(judged(name, name, seed)) for seed in range(15))


@pytest.mark.parametrize("name", PROCESSES)
def test_the_plan_of_each_process_fits_no_other_law(name):
    others = {other: is_odd(judged(name, other, seed=1)) for other in PROCESSES if other != name}
    assert all(others.values()), others


@pytest.mark.parametrize("name", PROCESSES)
def test_the_expected_arrivals_of_a_law_equal_the_mean_of_many_plans(name):
    levels = rate_levels(named(name))
    law = law_of(named(name), levels[0] if levels else None, WINDOW)
    assert law is not None
    cuts = np.linspace(WINDOW.start_ns, WINDOW.end_ns, 7).astype(np.int64)
    expected = np.diff(law.expected(cuts))
    counted = np.mean(
        [
            np.histogram(arrival_offsets(named(name), (levels or [0.0])[0], SPANS, seed, ("w",)) + T0, cuts)[0]
            for seed in range(60)
        ],
        axis=0,
    )
    assert counted == pytest.approx(expected, rel=0.12, abs=3)


def test_a_trace_names_no_law():
    class Trace:
        process = "trace"

    assert law_of(Trace(), None, WINDOW) is None  # type: ignore[arg-type]
