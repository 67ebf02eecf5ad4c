"""README.md beside the code names every metric that the sources tell."""

from __future__ import annotations

import os
import re

import pytest
from fake_nvml import hopper, with_gpm

import harness.telemetry
from harness.telemetry import host, nvml, nvml_gpm, nvml_readings
from harness.telemetry.sampler import Sampler


@pytest.fixture(scope="module")
def told() -> set[str]:
    """The names in the tables."""
    with open(os.path.join(os.path.dirname(harness.telemetry.__file__), "README.md"), encoding="utf-8") as readme:
        rows = [line for line in readme if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row)}


def test_all_gpu_metrics_are_in_the_readme(told):
    instants = iter(range(0, 10**12, 10**9))
    (source,) = nvml.open_sources(nvml=with_gpm(hopper()), now=lambda: next(instants))
    seen = {sample.metric for sample in [*source.read(), *source.read()]}
    listed = {field.metric for field in (*nvml_readings.GAUGES, *nvml_readings.COUNTERS)}
    listed |= {metric.metric for metric in nvml_gpm.METRICS}
    assert len(seen) > 25
    assert seen | listed | {"xid_code"} <= told


def test_all_host_metrics_are_in_the_readme(told):
    source = host.open_source({"harness": [os.getpid()]})
    seen = {sample.metric for sample in [*source.read(), *source.read(), *source.read_edge()]}
    assert len(seen) >= 9
    assert seen <= told


def test_the_metrics_of_the_sampler_are_in_the_readme(told):
    rows = []
    instants = iter(range(0, 10**12, 10**10))
    sampler = Sampler([host.open_source({})], rows.extend, now=lambda: next(instants))
    sampler.step()
    seen = {row.metric for row in rows if row.source == "sampler"}
    assert seen == {"round_duration", "read_duration"}
    assert seen <= told
