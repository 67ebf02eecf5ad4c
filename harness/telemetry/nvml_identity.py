"""What the GPUs of this host are, for the manifest: read once per run, never while a window is open. Bytes, W, Hz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.telemetry.nvml_library import NAME, NO_GPU, load, offered, text, unload
from harness.telemetry.nvml_readings import MEGA, MILLI
from harness.telemetry.source import Unavailable


@dataclass(frozen=True)
class GpuIdentity:
    """What one GPU is. None: not told."""

    uuid: str
    product: str
    memory_bytes: int | None
    vbios: str | None
    power_limit_w: float | None
    ecc_enabled: bool | None
    mig_enabled: bool | None
    persistence_enabled: bool | None
    sm_clock_max_hz: float | None


@dataclass(frozen=True)
class GpuInventory:
    """The GPUs of this host and their driver; `cuda` is the newest version the driver supports ("12.4")."""

    driver: str | None
    cuda: str | None
    gpus: tuple[GpuIdentity, ...]

    @property
    def count(self) -> int:
        """How many GPUs the driver lists."""
        return len(self.gpus)


def identify(nvml: Any = None) -> GpuInventory | Unavailable:
    """What GPUs this host has, or why none can be told. `nvml`: a module instead of `pynvml`."""
    library = load(nvml)
    if isinstance(library, Unavailable):
        return library
    try:
        handles = [library.nvmlDeviceGetHandleByIndex(index) for index in range(library.nvmlDeviceGetCount())]
        if not handles:
            return Unavailable(NAME, NO_GPU)
        driver = offered(library, library.nvmlSystemGetDriverVersion)
        cuda = offered(library, library.nvmlSystemGetCudaDriverVersion_v2)
        return GpuInventory(
            None if driver is None else text(driver),
            None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            tuple(_identify(library, handle) for handle in handles),
        )
    except library.NVMLError as error:
        return Unavailable(NAME, f"NVML cannot tell what the GPUs are: {error}")
    finally:
        unload(library)


def _identify(nvml: Any, gpu: Any) -> GpuIdentity:
    def ask(name: str, *arguments: Any) -> Any:
        return offered(nvml, lambda: getattr(nvml, name)(gpu, *arguments))

    memory, vbios = ask("nvmlDeviceGetMemoryInfo"), ask("nvmlDeviceGetVbiosVersion")
    limit = ask("nvmlDeviceGetEnforcedPowerLimit")
    ecc, mig = ask("nvmlDeviceGetEccMode"), ask("nvmlDeviceGetMigMode")
    persistence = ask("nvmlDeviceGetPersistenceMode")
    fastest = ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM)
    return GpuIdentity(
        uuid=text(nvml.nvmlDeviceGetUUID(gpu)),
        product=text(nvml.nvmlDeviceGetName(gpu)),
        memory_bytes=None if memory is None else int(memory.total),
        vbios=None if vbios is None else text(vbios),
        power_limit_w=None if limit is None else limit * MILLI,
        ecc_enabled=None if ecc is None else ecc[0] == nvml.NVML_FEATURE_ENABLED,
        mig_enabled=None if mig is None else mig[0] == nvml.NVML_DEVICE_MIG_ENABLE,
        persistence_enabled=None if persistence is None else persistence == nvml.NVML_FEATURE_ENABLED,
        sm_clock_max_hz=None if fastest is None else fastest * MEGA,
    )
