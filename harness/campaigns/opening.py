"""Opening a target with what its GPUs are: the server is known to `target`, this host's GPUs to `telemetry`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from harness.records.manifest import Deployment
from harness.scenario.target import AttachTarget, EngineTarget
from harness.target import opened
from harness.target.opened import OpenTarget
from harness.telemetry.nvml_identity import GpuInventory, identify
from harness.telemetry.source import Unavailable

GPU_PRODUCT = "gpu_product"


@contextlib.contextmanager
def open_target(
    target: EngineTarget | AttachTarget, *, progress: Callable[[str], None], nvml: Any = None
) -> Iterator[OpenTarget]:
    """As `target.opened.open_target`; the deployment of an engine that we start also names its GPUs' product."""
    with opened.open_target(target, progress=progress) as found:
        yield dataclasses.replace(found, deployment=with_gpus(found.deployment, nvml))


def with_gpus(deployment: Deployment, nvml: Any = None) -> Deployment:
    """With product and memory of the GPUs it runs on, or the reason why they cannot be told. `nvml`: see `identify`.

    Only for an engine that we started and that uses GPUs: of an attached server the scenario says what it has.
    """
    if deployment.kind == "attach" or deployment.gpu_count is None:
        return deployment
    found = identify(nvml)
    why_not = found.reason if isinstance(found, Unavailable) else _why_unclear(found, deployment.gpu_count)
    if isinstance(found, Unavailable) or why_not is not None:
        untold = {**deployment.not_available, GPU_PRODUCT: str(why_not)}
        return dataclasses.replace(deployment, not_available=untold)
    first = found.gpus[0]
    return dataclasses.replace(deployment, gpu_product=first.product, gpu_memory_bytes=first.memory_bytes)


def _why_unclear(found: GpuInventory, used: int) -> str | None:
    """Which of different GPUs the server took is not known; nor on which it runs where there are fewer than it uses."""
    if found.count < used:
        return f"the server uses {used} GPUs, NVML sees {found.count} here"
    products = dict.fromkeys(gpu.product for gpu in found.gpus)
    return f"this host has different GPUs: {', '.join(products)}" if len(products) > 1 else None
