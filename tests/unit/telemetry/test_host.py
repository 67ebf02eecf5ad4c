from __future__ import annotations

import os

from harness.telemetry import host

TREE = {1: 0, 10: 1, 20: 10, 21: 20, 30: 10, 40: 1}  # process -> parent


def test_a_process_belongs_to_the_nearest_root_above_it():
    roots = {10: "harness", 20: "server"}
    assert host.role_of(21, TREE, roots) == "server"
    assert host.role_of(20, TREE, roots) == "server"
    assert host.role_of(30, TREE, roots) == "harness"
    assert host.role_of(40, TREE, roots) is None


def test_a_ring_of_parents_ends():
    assert host.role_of(1, {1: 2, 2: 1}, {9: "server"}) is None


def test_a_vanished_process_is_a_gap():
    gone = 2**22 + 1  # beyond the largest process id of Linux
    source = host.open_source({"server": [gone], "harness": [os.getpid()]})
    assert {sample.entity.partition("/")[0] for sample in source.read()} == {"host", "harness"}
    entities = {sample.entity for sample in source.read_edge()}  # other tests' servers may be our children
    assert f"harness/{os.getpid()}" in entities
    assert not [entity for entity in entities if entity.startswith("server")]


def test_utilisation_takes_two_reads():
    instants = iter(range(0, 10**12, 10**8))
    source = host.open_source({"harness": [os.getpid()]}, now=lambda: next(instants))
    rates = {"cpu_utilization", "cpu_cores", "cpu_cores_busiest_process"}
    assert not rates & {sample.metric for sample in source.read()}
    sum(range(3_000_000))
    told = {sample.metric: sample for sample in source.read()}
    assert told["cpu_cores"].entity == "harness"
    assert told["cpu_cores"].value > 0
    assert 0 < told["cpu_cores_busiest_process"].value <= told["cpu_cores"].value


def test_roles_are_asked_anew_at_each_read():
    asked = iter([{}, {"load_generator": [os.getpid()]}])
    source = host.open_source(lambda: next(asked))
    assert {sample.entity for sample in source.read()} == {"host"}
    assert "load_generator" in {sample.entity for sample in source.read()}


def test_nothing_that_is_told_is_negative():
    assert all(sample.value >= 0 for sample in host.open_source({"harness": [os.getpid()]}).read())
