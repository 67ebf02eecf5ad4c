from __future__ import annotations

import math
from types import SimpleNamespace

import pynvml
import pytest
from fake_nvml import FakeNvml, hopper, with_gpm

from harness.telemetry import nvml
from harness.telemetry.source import ReadFailed, Unavailable


def open_one(fake: FakeNvml, **options):
    (source,) = nvml.open_sources(nvml=fake, **options)
    return source


def values(samples) -> dict[str, float]:
    return {sample.metric: sample.value for sample in samples}


def error(name: str) -> pynvml.NVMLError:
    return pynvml.NVMLError(getattr(pynvml, name))


def has_gpu() -> bool:
    return not isinstance(nvml.identify(), Unavailable)


@pytest.mark.skipif(has_gpu(), reason="this host has an NVIDIA GPU: nothing to be honest about")
def test_a_host_without_gpu_is_told_in_words_by_the_real_library():
    (answer,) = nvml.open_sources()
    assert isinstance(answer, Unavailable)
    assert answer.reason.startswith("no NVIDIA GPU on this host")
    assert nvml.identify() == answer


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("NVML_ERROR_LIBRARY_NOT_FOUND", "no NVIDIA GPU on this host: NVML library not found"),
        ("NVML_ERROR_DRIVER_NOT_LOADED", "no NVIDIA GPU on this host: the NVIDIA driver is not loaded"),
        ("NVML_ERROR_NO_PERMISSION", "NVML cannot be used: Insufficient Permissions"),
    ],
)
def test_each_reason_for_having_no_library_is_told(code, reason):
    assert nvml.open_sources(nvml=FakeNvml(nvmlInit=error(code))) == [Unavailable("nvml", reason)]


def test_a_driver_that_lists_no_gpu_is_no_gpu():
    assert nvml.open_sources(nvml=FakeNvml(uuids=())) == [Unavailable("nvml", "no NVIDIA GPU on this host")]
    assert nvml.identify(FakeNvml(uuids=())) == Unavailable("nvml", "no NVIDIA GPU on this host")


def test_every_value_arrives_in_base_units():
    samples = open_one(hopper()).read()
    assert {sample.entity for sample in samples} == {"GPU-a"}
    assert {sample.source for sample in samples} == {"nvml"}
    told = {sample.metric: (sample.value, sample.unit) for sample in samples}
    assert told["energy"] == (pytest.approx(123.456), "J")
    assert told["power"] == (pytest.approx(500), "W")
    assert told["power_instant"] == (pytest.approx(630), "W")
    assert told["power_average"] == (pytest.approx(512), "W")
    assert told["gpu_utilization"] == (0.97, "ratio")
    assert told["memory_used"] == (60 * 1024**3, "bytes")
    assert told["memory_reserved"] == (1024**3, "bytes")
    assert told["sm_clock"] == (1755e6, "Hz")
    assert told["memory_clock"] == (2619e6, "Hz")
    assert told["clock_event_reasons"] == (4, "bitmask")
    assert told["throttled_by_power_cap"] == (5_000_000, "ns")
    assert told["nvlink_sent"] == (3 * 1024, "bytes")
    assert told["temperature"] == (64, "celsius")
    assert told["memory_temperature"] == (71, "celsius")
    assert told["ecc_errors_corrected"] == (2, "count")
    assert told["ecc_errors_uncorrected"] == (0, "count")
    assert told["xid_errors"] == (0, "count")
    assert told["compute_processes"] == (1, "processes")


def test_what_a_gpu_does_not_support_is_left_out_and_never_zero():
    source = open_one(FakeNvml(nvmlDeviceGetPowerUsage=75_000))
    source_fields = source.read()
    assert set(values(source_fields)) == {
        "power",
        "power_average",
        "power_instant",
        "memory_temperature",
        "throttled_by_power_cap",
        "nvlink_sent",
    }


def test_a_value_that_needs_permission_is_left_out():
    fake = hopper(nvmlDeviceGetComputeRunningProcesses=error("NVML_ERROR_NO_PERMISSION"))
    assert "compute_processes" not in values(open_one(fake).read())


def test_an_error_of_one_call_is_told_and_the_other_values_are_kept():
    source = open_one(hopper(nvmlDeviceGetPowerUsage=error("NVML_ERROR_UNKNOWN")))
    with pytest.raises(ReadFailed, match="power: Unknown Error") as failed:
        source.read()
    assert "power" not in values(failed.value.samples)
    assert values(failed.value.samples)["energy"] == pytest.approx(123.456)


def test_a_field_that_is_broken_is_told():
    fake = hopper()
    broken = pynvml.c_nvmlFieldValue_t(nvmlReturn=pynvml.NVML_ERROR_UNKNOWN)
    fake.answers["nvmlDeviceGetFieldValues"] = lambda gpu, fields: [broken] * len(fields)
    with pytest.raises(ReadFailed, match="counter fields: Unknown Error"):
        open_one(fake).read()


def test_a_lost_gpu_leaves_no_sample():
    lost = error("NVML_ERROR_GPU_IS_LOST")
    fake = hopper()
    source = open_one(fake)
    fake.answers = dict.fromkeys(fake.answers, lost)
    with pytest.raises(ReadFailed, match="GPU is lost") as failed:
        source.read()
    assert failed.value.samples == []


def test_an_old_driver_is_asked_by_the_old_names():
    fake = hopper(
        nvmlDeviceGetTemperatureV=error("NVML_ERROR_FUNCTION_NOT_FOUND"),
        nvmlDeviceGetTemperature=58,
        nvmlDeviceGetCurrentClocksEventReasons=error("NVML_ERROR_FUNCTION_NOT_FOUND"),
        nvmlDeviceGetCurrentClocksThrottleReasons=1,
    )
    told = values(open_one(fake).read())
    assert told["temperature"] == 58
    assert told["clock_event_reasons"] == 1


def test_memory_of_a_driver_that_cannot_separate_its_own_share_has_no_used():
    fake = hopper()
    whole = fake.answers["nvmlDeviceGetMemoryInfo"]

    def only_first(gpu, version=None):
        if version:
            raise error("NVML_ERROR_FUNCTION_NOT_FOUND")
        return whole(gpu)

    fake.answers["nvmlDeviceGetMemoryInfo"] = only_first
    told = values(open_one(fake).read())
    assert told["memory_total"] == 80 * 1024**3
    assert "memory_used" not in told


def test_an_edge_has_the_counters_and_starts_with_energy():
    fake = hopper()
    source = open_one(fake)
    fake.calls.clear()
    edge = source.read_edge()
    assert edge[0].metric == "energy"
    assert set(values(edge)) == {
        "energy",
        "throttled_by_power_cap",
        "nvlink_sent",
        "ecc_errors_corrected",
        "ecc_errors_uncorrected",
    }
    assert "nvmlDeviceGetUtilizationRates" not in fake.calls


def test_each_value_has_the_instant_at_which_it_was_read():
    ticks = iter(range(100))
    samples = open_one(hopper(), now=lambda: next(ticks)).read()
    assert [sample.time_ns for sample in samples] == sorted(sample.time_ns for sample in samples)
    assert samples[0].time_ns < samples[-1].time_ns


def test_gpm_tells_means_between_successive_reads_of_at_least_100_ms():
    instants = [0]
    fake = with_gpm(hopper(), lambda metric: math.nan if metric == pynvml.NVML_GPM_METRIC_SM_OCCUPANCY else 50.0)
    source = open_one(fake, now=lambda: instants[0])
    assert not any(metric.startswith("gpm_") for metric in values(source.read()))
    instants[0] = 99_999_999
    assert not any(metric.startswith("gpm_") for metric in values(source.read()))
    instants[0] = 200_000_000
    told = values(source.read())
    assert told["gpm_sm_active"] == 0.5
    assert told["gpm_pcie_sent"] == 50 * 1024**2
    assert "gpm_sm_occupancy" not in told
    instants[0] = 400_000_000
    source.read()
    (first, second), (third, fourth) = fake.gpm_pairs
    assert second == third, "the later sample of one pair is the earlier one of the next"
    assert first == fourth, "two buffers are used in turn"


def test_gpm_reserved_for_the_administrator_is_left_out():
    fake = with_gpm(hopper())
    fake.answers["nvmlGpmSampleGet"] = error("NVML_ERROR_NO_PERMISSION")
    assert not any(metric.startswith("gpm_") for metric in values(open_one(fake).read()))


def test_gpm_that_cannot_be_opened_is_told_and_costs_nothing_else():
    fake = hopper(nvmlGpmQueryDeviceSupport=error("NVML_ERROR_UNKNOWN"))
    source, broken = nvml.open_sources(nvml=fake)
    assert broken == Unavailable("nvml GPU-a GPM", "NVML: Unknown Error")
    assert values(source.read())["energy"] == pytest.approx(123.456)


def test_xid_errors_are_counted_and_each_code_is_told():
    fake = hopper()
    queue = [SimpleNamespace(eventData=79), SimpleNamespace(eventData=48)]

    def wait(events, timeout_ms):
        if not queue:
            raise error("NVML_ERROR_TIMEOUT")
        return queue.pop(0)

    fake.answers["nvmlEventSetWait_v2"] = wait
    source = open_one(fake)
    first = [(s.metric, s.value) for s in source.read() if s.metric.startswith("xid")]
    assert first == [("xid_errors", 2), ("xid_code", 79), ("xid_code", 48)]
    assert [(s.metric, s.value) for s in source.read() if s.metric.startswith("xid")] == [("xid_errors", 2)]


def test_mig_instances_have_memory_and_gpm_of_their_own_and_the_gpu_keeps_power():
    places = {0: "MIG-x", 2: "MIG-y"}

    def instance_at(gpu, place):
        if place not in places:
            raise error("NVML_ERROR_NOT_FOUND")
        return places[place]

    fake = with_gpm(
        hopper(
            nvmlDeviceGetMigMode=[1, 1],
            nvmlDeviceGetUtilizationRates=error("NVML_ERROR_NOT_SUPPORTED"),
            nvmlDeviceGetMaxMigDeviceCount=7,
            nvmlDeviceGetMigDeviceHandleByIndex=instance_at,
            nvmlDeviceGetGpuInstanceId=lambda handle: {"MIG-x": 1, "MIG-y": 5}[handle],
        )
    )
    asked = []
    fake.answers["nvmlGpmMigSampleGet"] = lambda gpu, instance, buffer: asked.append((gpu, instance))
    samples = open_one(fake).read()
    by_entity = {entity: {s.metric for s in samples if s.entity == entity} for entity in ("GPU-a", "MIG-x", "MIG-y")}
    assert by_entity["MIG-x"] == by_entity["MIG-y"] == {"memory_total", "memory_used", "memory_reserved"}
    assert "energy" in by_entity["GPU-a"]
    assert "gpu_utilization" not in by_entity["GPU-a"]
    assert asked == [("GPU-a", 1), ("GPU-a", 5)]


def test_each_gpu_is_a_source_and_can_be_chosen_by_uuid():
    fake = FakeNvml(uuids=("GPU-a", "GPU-b"))
    assert [source.name for source in nvml.open_sources(nvml=fake)] == ["nvml GPU-a", "nvml GPU-b"]
    assert [source.name for source in nvml.open_sources(nvml=fake, uuids=["GPU-b"])] == ["nvml GPU-b"]
    assert nvml.open_sources(nvml=fake, uuids=["GPU-c"]) == [
        Unavailable("nvml", "no NVIDIA GPU on this host with uuid GPU-c")
    ]


def test_a_gpu_that_cannot_be_opened_does_not_hide_the_others():
    fake = FakeNvml(uuids=("GPU-a", "GPU-b"))

    def handle(index):
        if index == 0:
            raise error("NVML_ERROR_GPU_IS_LOST")
        return "GPU-b"

    fake.answers["nvmlDeviceGetHandleByIndex"] = handle
    lost, source = nvml.open_sources(nvml=fake)
    assert lost == Unavailable("nvml 0", "GPU 0 cannot be opened: GPU is lost")
    assert source.name == "nvml GPU-b"


def test_the_library_is_given_back_as_often_as_it_was_taken():
    fake = hopper()
    source = open_one(fake)
    assert fake.initialised == 1
    source.close()
    assert fake.initialised == 0
    nvml.identify(fake)
    assert fake.initialised == 0


def test_identity_has_what_the_manifest_needs():
    inventory = nvml.identify(hopper())
    assert (inventory.driver, inventory.cuda, inventory.count) == ("550.54.15", "12.4", 1)
    (gpu,) = inventory.gpus
    assert gpu.product == "NVIDIA H100 80GB HBM3"
    assert gpu.memory_bytes == 80 * 1024**3
    assert gpu.power_limit_w == pytest.approx(700)
    assert (gpu.ecc_enabled, gpu.mig_enabled, gpu.persistence_enabled) == (True, False, True)
    assert gpu.sm_clock_max_hz == 1980e6


def test_identity_of_an_old_gpu_says_none_where_nothing_is_told():
    (gpu,) = nvml.identify(FakeNvml(nvmlDeviceGetName=b"Tesla K80")).gpus
    assert gpu.product == "Tesla K80"
    assert (gpu.memory_bytes, gpu.ecc_enabled, gpu.power_limit_w) == (None, None, None)
