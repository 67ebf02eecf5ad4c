"""What is read of a GPU through NVML: small functions, each one or two calls, and the two tables that list them.

A reading returns (metric, value, unit) triples in base units: bytes, W, J, Hz, ns, celsius, ratios 0-1. A counter
counts since the driver was loaded unless README.md says otherwise. PCIe throughput is not read here: each call blocks
some 20 ms; GPM has it without. Field numbers and their units: NVIDIA's `nvml.h`, as constants of `pynvml`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from harness.telemetry.nvml_library import is_not_offered, offered

Value = tuple[str, float, str]


class Reading(Protocol):
    """A function that asks a GPU for some values. `__name__` says what they are, for the people who read a failure."""

    __name__: str

    def __call__(self, nvml: Any, gpu: Any) -> list[Value]: ...


MEGA = 1e6
KIB = 1024
MILLI = 1e-3
ALL_LINKS = 0xFFFFFFFF


class Field(NamedTuple):
    """One value of `nvmlDeviceGetFieldValues`: the constant's name, the metric, and the factor to its unit."""

    constant: str
    metric: str
    unit: str
    factor: float = 1.0
    scope: int = 0


GAUGES = (
    Field("NVML_FI_DEV_POWER_AVERAGE", "power_average", "W", MILLI),
    Field("NVML_FI_DEV_POWER_INSTANT", "power_instant", "W", MILLI),
    Field("NVML_FI_DEV_MEMORY_TEMP", "memory_temperature", "celsius"),
)
COUNTERS = (
    Field("NVML_FI_DEV_PERF_POLICY_POWER", "throttled_by_power_cap", "ns"),
    Field("NVML_FI_DEV_PERF_POLICY_THERMAL", "throttled_by_heat", "ns"),
    Field("NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN", "throttled_by_heat_software", "ns"),
    Field("NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN", "throttled_by_heat_hardware", "ns"),
    Field("NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN", "throttled_by_power_brake", "ns"),
    Field("NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX", "nvlink_sent", "bytes", KIB, ALL_LINKS),
    Field("NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX", "nvlink_received", "bytes", KIB, ALL_LINKS),
)


def utilization(nvml: Any, gpu: Any) -> list[Value]:
    """Share of the last sample period (1/6 to 1 s) in which at least one kernel ran: near 1 under any real load."""
    rates = nvml.nvmlDeviceGetUtilizationRates(gpu)
    return [
        ("gpu_utilization", rates.gpu / 100, "ratio"),
        ("memory_controller_utilization", rates.memory / 100, "ratio"),
    ]


def memory(nvml: Any, gpu: Any) -> list[Value]:
    """Memory, the driver's own share apart (version 2 of the call); TensorRT-LLM takes its KV cache at the start."""
    told = offered(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2))
    if told is None:
        first = nvml.nvmlDeviceGetMemoryInfo(gpu)
        return [("memory_total", first.total, "bytes")]  # version 1 counts the driver's share as used: left out
    return [
        ("memory_total", told.total, "bytes"),
        ("memory_used", told.used, "bytes"),
        ("memory_reserved", told.reserved, "bytes"),
    ]


def power(nvml: Any, gpu: Any) -> list[Value]:
    """Board power: a mean over 1 s on Ampere and newer, except GA100. Use the energy counter for energy."""
    return [("power", nvml.nvmlDeviceGetPowerUsage(gpu) * MILLI, "W")]


def energy(nvml: Any, gpu: Any) -> list[Value]:
    """The energy counter, in steps of about 100 ms: differences over 10 s and more are good to 1%."""
    return [("energy", nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) * MILLI, "J")]


def clocks(nvml: Any, gpu: Any) -> list[Value]:
    """Clocks of the multiprocessors and of the memory."""
    return [
        ("sm_clock", nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM) * MEGA, "Hz"),
        ("memory_clock", nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM) * MEGA, "Hz"),
    ]


def clock_event_reasons(nvml: Any, gpu: Any) -> list[Value]:
    """Why the clocks are what they are at this instant: a bit mask. Short events only show in the counters."""
    reasons = offered(nvml, lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu))
    if reasons is None:
        reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)  # the same under its name before driver 535
    return [("clock_event_reasons", reasons, "bitmask")]


def temperature(nvml: Any, gpu: Any) -> list[Value]:
    """Temperature of the GPU."""
    told = None
    if hasattr(nvml, "nvmlDeviceGetTemperatureV"):
        told = offered(nvml, lambda: nvml.nvmlDeviceGetTemperatureV(gpu, nvml.NVML_TEMPERATURE_GPU))
    if told is None:
        told = nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)
    return [("temperature", told, "celsius")]


def ecc(nvml: Any, gpu: Any) -> list[Value]:
    """Memory errors since the driver was loaded. An uncorrected one makes a run worthless."""
    kinds = {
        "ecc_errors_corrected": nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
        "ecc_errors_uncorrected": nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
    }
    return [
        (metric, nvml.nvmlDeviceGetTotalEccErrors(gpu, kind, nvml.NVML_VOLATILE_ECC), "count")
        for metric, kind in kinds.items()
    ]


def remapped_rows(nvml: Any, gpu: Any) -> list[Value]:
    """Memory rows replaced for uncorrectable errors, in the life of the GPU."""
    _, uncorrectable, _, _ = nvml.nvmlDeviceGetRemappedRows(gpu)
    return [("remapped_rows_uncorrectable", uncorrectable, "count")]


def compute_processes(nvml: Any, gpu: Any) -> list[Value]:
    """Processes with a compute context on the GPU: more than the server's own are foreign tenants."""
    return [("compute_processes", len(nvml.nvmlDeviceGetComputeRunningProcesses(gpu)), "processes")]


def gauge_fields(nvml: Any, gpu: Any) -> list[Value]:
    """The values of GAUGES that this GPU tells."""
    return read_fields(nvml, gpu, GAUGES)


def counter_fields(nvml: Any, gpu: Any) -> list[Value]:
    """The values of COUNTERS that this GPU tells."""
    return read_fields(nvml, gpu, COUNTERS)


def read_fields(nvml: Any, gpu: Any, fields: tuple[Field, ...]) -> list[Value]:
    """Several field values in one call; a field that is not offered is left out, any other error is raised."""
    known = [field for field in fields if hasattr(nvml, field.constant)]
    answers = nvml.nvmlDeviceGetFieldValues(gpu, [(getattr(nvml, field.constant), field.scope) for field in known])
    values = []
    for field, answer in zip(known, answers, strict=True):
        if answer.nvmlReturn == nvml.NVML_SUCCESS:
            values.append((field.metric, _number(nvml, answer) * field.factor, field.unit))
        elif not is_not_offered(nvml, answer.nvmlReturn) and answer.nvmlReturn != nvml.NVML_ERROR_INVALID_ARGUMENT:
            raise nvml.NVMLError(answer.nvmlReturn)  # (an older driver calls a field it does not know an invalid one)
    return values


def _number(nvml: Any, answer: Any) -> float:
    """The member of the union that the answer says it filled."""
    member = {
        nvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
        nvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
        nvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
        nvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
    }[answer.valueType]
    return float(getattr(answer.value, member))


# Read at the edges of windows, cheapest first: the energy counter stands nearest to the edge.
EDGE_READINGS: tuple[Reading, ...] = (energy, counter_fields, ecc)
READINGS: tuple[Reading, ...] = (
    *EDGE_READINGS,
    power,
    utilization,
    memory,
    clocks,
    clock_event_reasons,
    temperature,
    gauge_fields,
    remapped_rows,
    compute_processes,
)
MIG_READINGS: tuple[Reading, ...] = (memory,)
