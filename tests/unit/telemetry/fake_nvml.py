"""A stand-in for the module `pynvml` with GPUs that a test describes. Constants, structures, errors are the real ones.

A function that no test taught is refused as NVML refuses what a GPU does not support.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml

HOPPER_FIELDS = {
    pynvml.NVML_FI_DEV_POWER_AVERAGE: 512_000,
    pynvml.NVML_FI_DEV_POWER_INSTANT: 630_000,
    pynvml.NVML_FI_DEV_MEMORY_TEMP: 71,
    pynvml.NVML_FI_DEV_PERF_POLICY_POWER: 5_000_000,
    pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX: 3,
}


class FakeNvml:
    """`answers[name]` is what the function `name` gives: a value, an exception to raise, or a callable."""

    def __init__(self, uuids: tuple[str, ...] = ("GPU-a",), **answers: Any) -> None:
        self.initialised = 0
        self.calls: list[str] = []
        self.fields = dict(HOPPER_FIELDS)
        self.answers: dict[str, Any] = {
            "nvmlDeviceGetCount": len(uuids),
            "nvmlDeviceGetHandleByIndex": lambda index: uuids[index],
            "nvmlDeviceGetUUID": lambda handle: handle,
            "nvmlDeviceGetFieldValues": self._field_values,
            **answers,
        }

    def nvmlInit(self) -> None:
        self._answer("nvmlInit")
        self.initialised += 1

    def nvmlShutdown(self) -> None:
        assert self.initialised > 0, "given back more often than taken"
        self.initialised -= 1

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml") or not callable(getattr(pynvml, name)):
            return getattr(pynvml, name)
        if name not in self.answers:
            return _unsupported
        return lambda *arguments, **options: self._answer(name, *arguments, **options)

    def _answer(self, name: str, *arguments: Any, **options: Any) -> Any:
        self.calls.append(name)
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer(*arguments, **options) if callable(answer) else answer

    def _field_values(self, handle: str, fields: list[tuple[int, int]]) -> list[Any]:
        values = (pynvml.c_nvmlFieldValue_t * len(fields))()
        for value, (field, scope) in zip(values, fields, strict=True):
            value.fieldId, value.scopeId = field, scope
            if field in self.fields:
                value.valueType, value.value.ullVal = pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, self.fields[field]
            else:
                value.nvmlReturn = pynvml.NVML_ERROR_NOT_SUPPORTED
        return values


def hopper(**answers: Any) -> FakeNvml:
    """A GPU that offers everything, GPM aside (see `with_gpm`)."""
    told: dict[str, Any] = {
        "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetVbiosVersion": "96.00.74.00.01",
        "nvmlSystemGetDriverVersion": "550.54.15",
        "nvmlSystemGetCudaDriverVersion_v2": 12040,
        "nvmlDeviceGetEnforcedPowerLimit": 700_000,
        "nvmlDeviceGetEccMode": [1, 1],
        "nvmlDeviceGetMigMode": [0, 0],
        "nvmlDeviceGetPersistenceMode": 1,
        "nvmlDeviceGetMaxClockInfo": 1980,
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=41),
        "nvmlDeviceGetMemoryInfo": memory_told,
        "nvmlDeviceGetPowerUsage": 500_000,
        "nvmlDeviceGetTotalEnergyConsumption": 123_456,
        "nvmlDeviceGetClockInfo": lambda gpu, kind: {pynvml.NVML_CLOCK_SM: 1755, pynvml.NVML_CLOCK_MEM: 2619}[kind],
        "nvmlDeviceGetCurrentClocksEventReasons": pynvml.nvmlClocksEventReasonSwPowerCap,
        "nvmlDeviceGetTemperatureV": 64,
        "nvmlDeviceGetTotalEccErrors": lambda gpu, kind, counter: 2 if kind == 0 else 0,
        "nvmlDeviceGetRemappedRows": (1, 0, 0, 0),
        "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=1)],
        "nvmlEventSetCreate": "events",
        "nvmlDeviceRegisterEvents": None,
        "nvmlEventSetFree": None,
        "nvmlEventSetWait_v2": pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT),
    }
    return FakeNvml(**{**told, **answers})


def with_gpm(nvml: FakeNvml, value: Callable[[int], float] = lambda metric: 50.0) -> FakeNvml:
    """The same GPU with GPM; `value` tells each metric's value from its number, NaN for one it does not have."""
    buffers = iter(ctypes.cast(address, pynvml.c_nvmlGpmSample_t) for address in range(8, 800, 8))

    def metrics_get(question: Any) -> Any:
        assert question.version == pynvml.NVML_GPM_METRICS_GET_VERSION
        nvml.gpm_pairs.append(
            tuple(ctypes.cast(s, ctypes.c_void_p).value for s in (question.sample1, question.sample2))
        )
        for place in range(question.numMetrics):
            question.metrics[place].value = value(question.metrics[place].metricId)
        return question

    nvml.gpm_pairs = []
    nvml.answers |= {
        "nvmlGpmQueryDeviceSupport": SimpleNamespace(isSupportedDevice=1),
        "nvmlGpmSampleAlloc": lambda: next(buffers),
        "nvmlGpmSampleGet": None,
        "nvmlGpmSampleFree": None,
        "nvmlGpmMetricsGet": metrics_get,
    }
    return nvml


def memory_told(gpu: Any, version: int | None = None) -> Any:
    """Memory as the two versions of the call tell it: the first counts the driver's share as used."""
    gib = 1024**3
    if version == pynvml.nvmlMemory_v2:
        return SimpleNamespace(total=80 * gib, used=60 * gib, reserved=1 * gib, free=19 * gib)
    return SimpleNamespace(total=80 * gib, used=61 * gib, free=19 * gib)


def _unsupported(*arguments: Any, **options: Any) -> Any:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
