"""What a deployment says of the GPUs it runs on. NVML is a stand-in with GPUs that the test describes."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pynvml
import pytest
from fake_nvml import FakeNvml

from harness.campaigns.opening import with_gpus
from harness.records.manifest import Deployment

STARTED = Deployment("e-1", "process", "ensemble", "127.0.0.1:8001", "triton_grpc", engine_name="e", gpu_count=2)
H100 = "NVIDIA H100 80GB HBM3"


def host(*products: str) -> FakeNvml:
    names = {f"GPU-{number}": product for number, product in enumerate(products)}
    return FakeNvml(
        tuple(names),
        nvmlDeviceGetName=lambda handle: names[handle],
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=80 << 30),
        nvmlSystemGetDriverVersion="570.1",
    )


def test_an_engine_that_we_start_names_the_gpus_it_runs_on_and_counts_those_it_uses() -> None:
    found = with_gpus(STARTED, host(H100, H100, H100, H100))
    assert (found.gpu_count, found.gpu_product, found.gpu_memory_bytes) == (2, H100, 80 << 30)
    assert found.not_available == {}


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (host(H100, "NVIDIA L4"), f"this host has different GPUs: {H100}, NVIDIA L4"),
        (host(H100), "the server uses 2 GPUs, NVML sees 1 here"),
        (FakeNvml(nvmlInit=pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)), "driver"),
    ],
)
def test_a_product_that_cannot_be_told_is_not_guessed_from_the_spec(nvml: FakeNvml, reason: str) -> None:
    found = with_gpus(STARTED, nvml)
    assert found.gpu_product is None
    assert reason in found.not_available["gpu_product"]
    assert found.gpu_count == 2, "what the spec says the server uses"


def test_gpus_of_this_host_are_nothing_to_a_cpu_engine_and_to_a_server_elsewhere() -> None:
    nvml = host(H100, H100)
    for other in (dataclasses.replace(STARTED, gpu_count=None), dataclasses.replace(STARTED, kind="attach")):
        assert with_gpus(other, nvml) == other
    assert nvml.calls == []
