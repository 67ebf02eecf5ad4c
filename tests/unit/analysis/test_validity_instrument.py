"""Reasons about schedule, load generator, achieved load, steady state, reuse and hardware: each beside its healthy
neighbour, which is VALID."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
import pytest

from harness.analysis.evidence import Beside
from harness.analysis.validity import judge
from harness.metrics.results import Validity
from harness.metrics.summary import summarise
from harness.records.calibration import Calibration, Ceiling
from harness.records.manifest import Measurement, WorkerReport
from harness.records.schemas import PLAN, TELEMETRY
from harness.scenario.load import MultiTenant, OpenLoop
from tests.oracle.healthy import answered, closed_loop, failing, open_loop
from tests.oracle.runs import MS, Row, at, manifest, measurement, table

SECONDS, RATE = 40.0, 50.0
START_MS, END_MS = 5_000.0, 35_000.0


def arrivals(process: str = "poisson", **settings: Any) -> OpenLoop:
    named = {"process": process, "request_rate_per_s": RATE, **settings}
    return OpenLoop.model_validate({"kind": "open_loop", "arrivals": named})


def worker(records: int, **changes: Any) -> WorkerReport:
    calm = WorkerReport(0, 3.0, 30.0, records, 0, 1000, loop_lag_ns_p99=2 * MS, loop_lag_ns_max=20 * MS)
    return dataclasses.replace(calm, **changes)


def measured(rows: list[Row], *, client: dict[str, Any] | None = None, **changes: Any) -> Measurement:
    facts = {
        "window_start_ns": at(START_MS),
        "window_end_ns": at(END_MS),
        "drain_end_ns": at(SECONDS * 1000 + 500),
        "workers": [worker(len(rows), **(client or {}))],
    }
    return measurement(len(rows), **{**facts, **changes})


def phased(rows: list[Row], origin: str) -> list[Row]:
    """The rows with the phase their instants say, in the order of the index."""

    def phase(instant: int) -> str:
        return "warm_up" if instant < at(START_MS) else "window" if instant < at(END_MS) else "drain"

    return [{**r, "phase": phase(r[origin] if r[origin] is not None else r["sent_ns"])} for r in rows]


def judged_open(rows: list[Row], load: OpenLoop | None = None, **changes: Any) -> Validity:
    beside = Beside(load=load or arrivals(), **changes.pop("beside", {}))
    rows = phased(rows, "intended_ns")
    run = manifest([measured(rows, **changes)], open_loop=True)
    run = dataclasses.replace(run, points=[dataclasses.replace(run.points[0], request_rate_per_s=RATE)])
    return judge(run, table(rows), summarise(run, table(rows)), beside=beside)["p"]


def users(n: int = 1600, concurrency: int = 4) -> list[Row]:
    """A closed loop from before the window to behind it: four users, 0.1 s per answer."""
    return closed_loop(n, concurrency=concurrency, window_ms=(0.0, SECONDS * 1000))


def judged_closed(rows: list[Row], *, concurrency: int = 4, deployment: dict[str, Any] | None = None, **changes: Any):
    beside = Beside(**changes.pop("beside", {}))
    rows = phased(rows, "sent_ns")
    run = manifest([measured(rows, **changes)], **(deployment or {}))
    run = dataclasses.replace(run, points=[dataclasses.replace(run.points[0], concurrency=concurrency)])
    return judge(run, table(rows), summarise(run, table(rows)), beside=beside)["p"]


def codes(validity: Validity) -> dict[str, str]:
    return {reason.code: reason.severity for reason in validity.reasons}


def delayed(rows: list[Row], by_ms: float, chosen: range | None = None) -> list[Row]:
    """Some of these requests sent later than they were, everything else after it as well."""
    moved = ("sent_ns", "first_token_ns", "last_token_ns", "done_ns")
    late = round(by_ms * MS)
    return [
        {**r, **{name: r[name] + late for name in moved}} if chosen is None or r["index"] in chosen else r for r in rows
    ]


# --- healthy


@pytest.mark.parametrize(("process", "settings"), [("poisson", {}), ("constant", {}), ("gamma", {"burstiness": 0.5})])
def test_a_healthy_open_loop_is_valid(process, settings):
    rows = open_loop(SECONDS, RATE, process=process, burstiness=settings.get("burstiness", 1.0))
    assert judged_open(rows, arrivals(process, **settings)) == Validity("VALID", [])


def test_a_healthy_closed_loop_is_valid():
    assert judged_closed(users()) == Validity("VALID", [])


def test_healthy_open_loops_hardly_ever_raise_an_alarm():
    found = [codes(judged_open(open_loop(SECONDS, RATE, seed=seed))) for seed in range(40)]
    assert sum(bool(reasons) for reasons in found) <= 2, [reasons for reasons in found if reasons]


# --- the schedule


@pytest.mark.parametrize(("lag_ms", "severity"), [(4, None), (6, "SUSPECT"), (60, "INVALID")])
def test_schedule_lag_counts_against_the_time_to_first_token(lag_ms, severity):
    validity = judged_open(delayed(open_loop(SECONDS, RATE, lag_ms=0.0), lag_ms))
    assert codes(validity).get("schedule_lag") == severity
    slow_server = open_loop(SECONDS, RATE, lag_ms=0.0, lasts_ms=4000.0)
    assert "schedule_lag" not in codes(judged_open(delayed(slow_server, min(lag_ms, 40))))


def test_a_few_arrivals_far_too_late_are_seen_though_the_p99_is_not():
    rows = open_loop(SECONDS, RATE)
    few = delayed(rows, 700, range(800, 806))
    assert codes(judged_open(few)) == {"late_arrivals": "SUSPECT"}
    many = delayed(rows, 700, range(800, 830))
    assert codes(judged_open(many))["late_arrivals"] == "INVALID"


def unsent(rows: list[Row], chosen: range) -> list[Row]:
    gone = dict.fromkeys(("sent_ns", "done_ns"))
    return [failing([r], 1, "not_sent")[0] | gone if r["index"] in chosen else r for r in rows]


def test_an_arrival_that_was_never_sent_voids_the_point():
    rows = open_loop(SECONDS, RATE)
    assert codes(judged_open(unsent(rows, range(1000, 1001))))["unsent_arrivals"] == "INVALID"
    assert judged_open(unsent(rows, range(len(rows) - 20, len(rows)))).status == "VALID", "after the window"


def test_a_probe_that_stopped_by_its_rule_is_marked_and_its_unsent_arrivals_are_no_fault():
    rows = unsent(open_loop(SECONDS, RATE), range(1000, 2100))
    assert codes(judged_open(rows, ended="stopped_saturated")) == {"stopped_saturated": "SUSPECT"}


@pytest.mark.parametrize(
    ("sent", "named"), [("constant", "poisson"), ("poisson", "constant"), ("gamma", "poisson"), ("poisson", "gamma")]
)
def test_sends_of_another_process_than_the_one_named_are_seen(sent, named):
    settings = {"burstiness": 0.5} if named == "gamma" else {}
    validity = judged_open(open_loop(SECONDS, RATE, process=sent, burstiness=0.5), arrivals(named, **settings))
    assert codes(validity)["arrivals"] == "SUSPECT"
    (reason,) = [r for r in validity.reasons if r.code == "arrivals"]
    assert reason.message.endswith("the intended instants neither")


def test_sends_in_clumps_are_told_from_a_plan_in_clumps():
    rows = open_loop(SECONDS, RATE, lag_ms=0.0)
    clumps = [delayed([r], 100 - (r["intended_ns"] - at(0)) / MS % 100)[0] for r in rows]
    (reason,) = [r for r in judged_open(clumps).reasons if r.code == "arrivals"]
    assert reason.message.endswith("the intended instants do")


def tenants(**named: str) -> MultiTenant:
    own = [{"name": n, "arrivals": {"process": p, "request_rate_per_s": RATE}} for n, p in named.items()]
    return MultiTenant.model_validate({"kind": "multi_tenant", "tenants": own})


def test_every_tenant_is_held_to_its_own_process():
    both = []
    for name, process in (("a", "poisson"), ("b", "constant")):
        both += [{**r, "tenant": name} for r in open_loop(SECONDS, RATE, process=process)]
    rows = [{**r, "index": i, "request_id": str(i)} for i, r in enumerate(both)]
    assert judged_open(rows, tenants(a="poisson", b="constant")).status == "VALID"
    (reason,) = judged_open(rows, tenants(a="poisson", b="poisson")).reasons
    assert reason.message.startswith("the sends of tenant b do not look poisson")


def test_later_turns_of_sessions_belong_to_no_process():
    rows = []
    for r in open_loop(SECONDS, RATE):
        turn = {"session_id": str(r["index"]), "intended_ns": r["done_ns"] + 5 * MS}
        later = delayed([r], 90)[0]
        rows += [{**r, "turn": 0, "session_id": str(r["index"])}, {**later, **turn, "turn": 1}]
    rows = [{**r, "index": i, "request_id": str(i)} for i, r in enumerate(rows)]
    assert judged_open(rows).status == "VALID"
    assert "arrivals" in codes(judged_open([{**r, "turn": 0} for r in rows]))


def test_waiting_for_a_place_under_a_cap_is_what_the_scenario_asked():
    rows, free_ms = [], 0.0
    for r in open_loop(SECONDS, RATE, lag_ms=0.0):
        sent = max((r["intended_ns"] - at(0)) / MS, free_ms)
        free_ms = sent + 12.0
        rows.append({**answered(r["index"], sent, first_ms=5.0, lasts_ms=12.0), "intended_ns": r["intended_ns"]})
    capped = OpenLoop.model_validate(arrivals().model_dump() | {"concurrency_cap": 1})
    assert judged_open(rows, capped).status == "VALID"
    assert codes(judged_open(rows)).keys() >= {"schedule_lag", "arrivals"}


def test_a_rate_that_is_not_the_one_asked_is_seen():
    assert codes(judged_open(open_loop(SECONDS, RATE * 1.25)))["achieved_rate"] == "SUSPECT"


# --- the load generator


@pytest.mark.parametrize(
    ("client", "code", "severity"),
    [
        ({"cpu_s": 23.0}, "client_cpu", None),
        ({"cpu_s": 25.0}, "client_cpu", "SUSPECT"),
        ({"cpu_s": 29.0}, "client_cpu", "INVALID"),
        ({"loop_lag_ns_p99": 4 * MS}, "client_lag", None),
        ({"loop_lag_ns_p99": 6 * MS}, "client_lag", "SUSPECT"),
        ({"loop_lag_ns_p99": 120 * MS}, "client_lag", "INVALID"),
        ({"loop_lag_ns_max": 200 * MS}, "client_standstill", None),
        ({"loop_lag_ns_max": 300 * MS}, "client_standstill", "SUSPECT"),
        ({"loop_lag_ns_max": 2000 * MS}, "client_standstill", "INVALID"),
    ],
)
def test_a_load_generator_without_room_is_seen(client, code, severity):
    validity = judged_closed(users(), client=client)
    assert codes(validity) == ({} if severity is None else {code: severity})


def profile(tokens_per_s: float) -> Calibration:
    ceilings = [Ceiling("output_tokens", tokens_per_s, 1.0, "client"), Ceiling("requests", 1e6, 1.0, "client")]
    return Calibration("k", "0", 0, "triton_grpc", {}, ceilings=ceilings)


@pytest.mark.parametrize(("ceiling", "severity"), [(210, None), (190, "SUSPECT"), (165, "INVALID")])
def test_the_calibrated_ceiling_counts(ceiling, severity):  # 40 requests/s of 4 tokens are 160 tokens/s
    validity = judged_closed(users(), beside={"calibration": profile(ceiling)})
    assert codes(validity).get("client_ceiling") == severity


def test_without_a_profile_the_ceiling_says_nothing():
    assert judged_closed(users(), beside={"calibration": None}).status == "VALID"


# --- asked against achieved


def test_users_that_pause_are_fewer_than_asked():
    slower = [{**r, "done_ns": r["done_ns"] - 10 * MS} for r in users()]
    validity = judged_closed(slower)
    assert codes(validity) == {"achieved_concurrency": "SUSPECT"}
    assert "3.60 requests in flight on average, 4 asked" in validity.reasons[0].message


def test_users_that_think_between_turns_are_not_missed():
    thinking = [{**r, "done_ns": r["done_ns"] - 10 * MS, "turn": 0, "session_id": "s"} for r in users()]
    pauses = plan().set_column(PLAN.names.index("think_time_ns"), PLAN.field("think_time_ns"), pa.array([10 * MS]))
    assert judged_closed(thinking, beside={"plan": pauses}).status == "VALID"
    assert codes(judged_closed(thinking, beside={"plan": plan()})) == {"achieved_concurrency": "SUSPECT"}


def test_more_in_flight_than_asked_is_seen_too():
    assert codes(judged_closed(users(), concurrency=3)) == {"achieved_concurrency": "SUSPECT"}


def gauge(value: float, samples: int = 30, metric: str = "nv_trt_llm_request_metrics.active") -> pa.Table:
    rows = [
        {"time_ns": at(START_MS + 1000 * i + 500), "source": "prometheus", "entity": "tensorrt_llm:1"}
        | {"metric": metric, "value": value, "unit": "requests"}
        for i in range(samples)
    ]
    return pa.Table.from_pylist(rows, schema=TELEMETRY)


@pytest.mark.parametrize(
    ("counted", "found"), [(4.0, False), (5.0, False), (6.0, True), (1.0, False), (0.0, False), (40.0, True)]
)
def test_a_server_that_counts_more_than_ours_serves_others(counted, found):
    validity = judged_closed(users(), beside={"telemetry": gauge(counted)})
    assert ("server_in_flight" in codes(validity)) == found


def test_a_server_that_knows_of_few_of_our_requests_is_not_the_bottleneck():
    rows = users(16_000, concurrency=40)
    validity = judged_closed(rows, concurrency=40, beside={"telemetry": gauge(10.0)})
    assert codes(validity) == {"server_in_flight": "SUSPECT"}
    assert judged_closed(rows, concurrency=40, beside={"telemetry": gauge(38.0)}).status == "VALID"


def test_a_gauge_that_was_hardly_sampled_says_nothing():
    assert judged_closed(users(), beside={"telemetry": gauge(40.0, samples=4)}).status == "VALID"


# --- steady state


def queueing(seconds: float, rate_per_s: float, capacity_per_s: float) -> list[Row]:
    """One server, first come first served: answers leave one by one."""
    rows, free_ms = [], 0.0
    for r in open_loop(seconds, rate_per_s, lasts_ms=10.0):
        sent = (r["sent_ns"] - at(0)) / MS
        free_ms = max(free_ms, sent) + 1000 / capacity_per_s
        moved = answered(r["index"], sent, first_ms=free_ms - sent - 1, lasts_ms=free_ms - sent)
        rows.append({**moved, "intended_ns": r["intended_ns"]})
    return rows


def test_a_queue_that_grows_is_unstable_and_no_steady_state_is_claimed():
    rows = queueing(SECONDS, RATE, 40.0)
    validity = judged_open(rows, drain_end_ns=at(60_000))
    assert codes(validity)["unstable"] == "SUSPECT"
    assert "not_steady" not in codes(validity)
    assert "unstable" not in codes(judged_open(queueing(SECONDS, RATE, 70.0)))


def test_a_rate_that_rises_on_purpose_makes_no_queue():
    rising = [r for r in open_loop(SECONDS, 4 * RATE, lasts_ms=400.0) if r["index"] % 100 < r["index"] / 80]
    ramp = OpenLoop.model_validate(
        {"kind": "open_loop"}
        | {"arrivals": {"process": "ramp", "from_request_rate_per_s": 20, "to_request_rate_per_s": 180}}
    )
    assert codes(judged_open(rising, ramp)).keys() <= {"achieved_rate", "arrivals"}, "this ramp is another than named"


def settling(until_ms: float, slower_ms: float) -> list[Row]:
    """Four users whose first tokens come later until this instant, by an amount that shrinks to nothing."""
    rows = []
    for r in users():
        sent = (r["sent_ns"] - at(0)) / MS
        extra = max(0.0, slower_ms * (until_ms - sent) / (until_ms - START_MS)) if sent < until_ms else 0.0
        rows.append(answered(r["index"], sent, first_ms=20.0 + extra, lasts_ms=100.0))
    return rows


def test_a_window_that_begins_before_it_settled_names_how_long_it_took():
    validity = judged_closed(settling(12_000, 60.0))
    assert codes(validity) == {"not_steady": "SUSPECT"}
    assert "time to first token settles only after" in validity.reasons[0].message
    assert judged_closed(settling(START_MS + 1, 0.0)).status == "VALID"


def test_a_window_in_which_nothing_settles_is_to_be_extended():
    (reason,) = judged_closed(settling(END_MS, 60.0)).reasons
    assert reason.code == "not_steady"
    assert "no steady state found in time to first token: extend the window" in reason.message


def test_littles_law_is_broken_by_a_queue_that_grows():
    rows = queueing(SECONDS, RATE, 30.0)
    assert codes(judged_open(rows, drain_end_ns=at(80_000))).get("littles_law") == "SUSPECT"
    assert "littles_law" not in codes(judged_open(queueing(SECONDS, RATE, 70.0)))


# --- reuse


def plan(prefix_ids: list[int] | None = None) -> pa.Table:
    row = dict.fromkeys(PLAN.names) | {"point_id": "p", "repetition": 1, "index": 0, "workload_part": "all"}
    row |= {"input_tokens": 8, "output_tokens": 4, "prompt_seed": 1, "timeout_ns": 1, "tenant": "all", "traced": False}
    return pa.Table.from_pylist([row | {"prefix_ids": prefix_ids}], schema=PLAN)


def reused_blocks(per_second: float) -> pa.Table:
    counter = gauge(0.0, metric="nv_trt_llm_kv_cache_block_metrics.reused").to_pylist()
    rows = [r | {"value": 100 + per_second * i, "unit": "blocks"} for i, r in enumerate(counter)]
    size = gauge(32.0, metric="nv_trt_llm_kv_cache_block_metrics.tokens_per")
    return pa.concat_tables([pa.Table.from_pylist(rows, schema=TELEMETRY), size])


def test_blocks_reused_though_prompts_are_unique_are_seen():
    def reasons(per_second: float, prefixes: list[int] | None = None) -> dict[str, str]:
        return codes(judged_closed(users(), beside={"telemetry": reused_blocks(per_second), "plan": plan(prefixes)}))

    assert reasons(5.0) == {"kv_cache_reuse": "SUSPECT"}
    assert reasons(0.0) == {}
    assert reasons(5.0, prefixes=[7]) == {}, "shared on purpose"


def test_prompts_that_occur_twice_count_only_where_the_cache_is_reused():
    rows = users()
    same = [{**r, "request_id": "x"} if r["index"] < 100 else r for r in rows]
    reusing = {"settings": {"enable_kv_cache_reuse": True}}
    assert codes(judged_closed(same, deployment=reusing)) == {"kv_cache_reuse": "SUSPECT"}
    assert judged_closed(same).status == "VALID"
    assert judged_closed(rows, deployment=reusing).status == "VALID"


# --- hardware: rows of the documented shape (harness/telemetry/README.md)


def nvml(metric: str, values: list[float], unit: str = "count") -> pa.Table:
    step = (END_MS - START_MS) / (len(values) - 1)
    rows = [
        {"time_ns": at(START_MS + step * i), "source": "nvml", "entity": "GPU-a", "metric": metric, "value": value}
        | {"unit": unit}
        for i, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, schema=TELEMETRY)


@pytest.mark.parametrize("metric", ["xid_errors", "ecc_errors_uncorrected", "remapped_rows_uncorrectable"])
def test_a_gpu_fault_in_the_window_voids_the_point(metric):
    assert codes(judged_closed(users(), beside={"telemetry": nvml(metric, [3, 3, 4])})) == {"gpu_fault": "INVALID"}
    assert judged_closed(users(), beside={"telemetry": nvml(metric, [3, 3, 3])}).status == "VALID", "an old fault"


def test_the_number_of_an_xid_error_is_named():
    validity = judged_closed(users(), beside={"telemetry": nvml("xid_code", [79, 79], "code")})
    assert codes(validity) == {"gpu_fault": "INVALID"}
    assert "XID 79" in validity.reasons[0].message


@pytest.mark.parametrize(
    ("metric", "share", "found"),
    [
        ("throttled_by_heat_hardware", 0.02, True),
        ("throttled_by_heat_hardware", 0.005, False),
        ("throttled_by_power_brake", 0.02, True),
        ("throttled_by_power_cap", 0.05, False),
        ("throttled_by_power_cap", 0.15, True),
    ],
)
def test_throttling_counts_by_its_share_of_the_window(metric, share, found):
    rise = share * (END_MS - START_MS) * MS
    validity = judged_closed(users(), beside={"telemetry": nvml(metric, [1e9, 1e9 + rise], "ns")})
    assert codes(validity) == ({"gpu_throttled": "SUSPECT"} if found else {})


def _with_second_turns(rows: list[Row], **changes: Any) -> list[Row]:
    """Each arrival is a session's first turn; the second follows 300 ms later."""
    instants = ("intended_ns", "sent_ns", "first_token_ns", "last_token_ns", "done_ns")
    turns = []
    for session, row in enumerate(rows):
        later = {name: row[name] + 300 * MS for name in instants}
        turns.append({**row, "index": 2 * session, "session_id": str(session), "turn": 0, **changes})
        turns.append({**row, **later, "index": 2 * session + 1, "session_id": str(session), "turn": 1, **changes})
    return [{**row, "request_id": f"p/-/1/{row['index']}"} for row in turns]


@pytest.mark.parametrize("process", ["constant", "poisson"])
def test_the_rate_of_an_open_loop_of_sessions_counts_sessions(process: str) -> None:
    turns = _with_second_turns(open_loop(SECONDS, RATE, process=process))
    assert judged_open(turns, arrivals(process)) == Validity("VALID", [])
    single = _with_second_turns(open_loop(SECONDS, RATE, process=process), turn=None, session_id=None)
    assert "achieved_rate" in {reason.code for reason in judged_open(single, arrivals(process)).reasons}
