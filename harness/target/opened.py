"""A target as a campaign uses it: opened for the length of a run, whatever kind it is."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.engine.cpu import CpuEngine
from harness.engine.inspect import expected_values
from harness.engine.llmapi import ServeEngine
from harness.engine.load import LoadedEngine, load_engine
from harness.engine.spec import EngineSpec
from harness.engine.torch_engine import TorchEngine
from harness.errors import UsageError
from harness.records.manifest import Deployment
from harness.scenario.target import AttachTarget, EngineTarget
from harness.target.attach import endpoint_of
from harness.target.describe import describe
from harness.target.embedded import EmbeddedTarget, new_log
from harness.target.endpoint import Endpoint
from harness.target.launch import LIBRARIES
from harness.target.native_target import native_server
from harness.target.reach import why_unreachable
from harness.target.triton import Contract, Description

BYTES_PER_GIB = 1 << 30

Progress = Callable[[str], None]


@dataclass(frozen=True)
class OpenTarget:
    """A target that is ready to be measured."""

    endpoint: Endpoint
    deployment: Deployment
    contract: Contract | None  # None: the server does not tell its tensors
    check_alive: Callable[[], str | None]  # None while it lives, else what happened; may take up to 5 s
    log_path: Path | None  # None: the server's log is not ours


@contextlib.contextmanager
def open_target(
    target: EngineTarget | AttachTarget, *, progress: Progress, log: Path | None = None
) -> Iterator[OpenTarget]:
    """Start the engine, or attach to the server, for the length of the block. `log`: where a started server's log goes.

    Raises UsageError for a target that cannot exist, TargetNotReady for one that is not there or not ready.
    """
    if isinstance(target, AttachTarget):
        yield _attached(target)
        return
    engine = load_engine(target.engine)
    _require_place(engine, target.on)
    _require_protocol(engine, target.protocol)
    model = engine.spec.models[0] if isinstance(engine.spec, ServeEngine) else target.model
    _require_model(engine, model)
    if target.on != "embedded":
        place = log or new_log(engine.spec.name)
        with native_server(engine, target.on, model, target.protocol, log=place, progress=progress) as server:
            yield OpenTarget(
                endpoint=server.endpoint,
                deployment=_engine_deployment(engine, target.on, server.endpoint, server.said, server.start_phases),
                contract=server.said.contract,
                check_alive=server.running.check_alive,
                log_path=server.log,
            )
        return
    with EmbeddedTarget(engine, target.model, progress=progress, protocol=target.protocol, log=log) as embedded:
        said = describe(embedded.endpoint)
        yield OpenTarget(
            endpoint=embedded.endpoint,
            deployment=_engine_deployment(engine, target.on, embedded.endpoint, said, embedded.start_phases),
            contract=said.contract,
            check_alive=embedded.check_alive,
            log_path=embedded.log_path,
        )


def token_count_source(contract: Contract | None, endpoint: Endpoint) -> str:
    """Where token counts come from: the server when it gives them, else the tokenizer, else chunks are counted."""
    if endpoint.protocol.startswith("openai_") or (contract is not None and contract.counts_tokens()):
        return "server"
    return "tokenizer" if endpoint.tokenizer is not None else "chunks"


def _require_place(engine: LoadedEngine, on: str) -> None:
    name, kind = engine.spec.name, engine.spec.kind
    if on == "kubernetes":
        raise UsageError(
            "on: kubernetes is not started from here: its manifests are rendered, and you apply them",
            hint=f"harness engine manifests {name} | kubectl apply -f -; then measure with target: {{attach: …}}",
        )
    if on == "embedded" and kind not in LIBRARIES:
        raise UsageError(
            f"engine {name} (kind {kind}) needs TensorRT-LLM: the embedded Triton has none",
            hint="write `on: process` (tritonserver or trtllm-serve on this machine) or `on: container`",
        )


def _require_protocol(engine: LoadedEngine, protocol: str) -> None:
    speaks_openai = isinstance(engine.spec, ServeEngine)
    if speaks_openai != protocol.startswith("openai_"):
        fitting = "openai_completions or openai_chat" if speaks_openai else "triton_grpc or triton_http"
        raise UsageError(
            f"engine {engine.spec.name} (kind {engine.spec.kind}) does not speak {protocol}",
            hint=f"write `protocol: {fitting.partition(' ')[0]}` in the scenario's target; it speaks {fitting}",
        )


def _require_model(engine: LoadedEngine, model: str) -> None:
    spec = engine.spec
    if model not in spec.models:
        raise UsageError(
            f"engine {spec.name} (contract {spec.contract}) has no model {model!r}; its models: "
            f"{', '.join(spec.models)}",
            hint=f"write `model: {spec.models[0]}` beside `engine: {spec.name}` in the scenario's target",
        )


def _attached(target: AttachTarget) -> OpenTarget:
    endpoint = endpoint_of(target.attach)
    said = describe(endpoint)
    return OpenTarget(
        endpoint=endpoint,
        deployment=_attach_deployment(endpoint, said),
        contract=said.contract,
        check_alive=lambda: why_unreachable(endpoint.url),
        log_path=None,
    )


def _engine_deployment(
    engine: LoadedEngine, on: str, endpoint: Endpoint, said: Description, start_phases: dict[str, float]
) -> Deployment:
    spec = engine.spec
    return Deployment(
        deployment_id=f"{spec.name}-{engine.hash[:8]}",
        kind=on,
        start_phases=start_phases,
        model=endpoint.model,
        url=endpoint.url,
        protocol=endpoint.protocol,
        engine_name=spec.name,
        engine_spec=engine.text,
        engine_hash=engine.hash,
        server=_server(said),
        not_available=dict(said.not_available),
        settings={**said.settings, **_settings(spec)},
        gpu_count=_gpu_count(spec),
        token_count_source=token_count_source(said.contract, endpoint),
        tokenizer_hash=_tokenizer_hash(endpoint),
    )


def _tokenizer_hash(endpoint: Endpoint) -> str | None:
    """16 hex digits of the content of the endpoint's tokenizer.json; None without one."""
    if endpoint.tokenizer is None:
        return None
    return hashlib.sha256(endpoint.tokenizer.read_bytes()).hexdigest()[:16]


def _settings(spec: EngineSpec) -> dict[str, object]:
    if isinstance(spec, CpuEngine | TorchEngine):
        return {**spec.settings.model_dump(mode="json"), "threads": spec.threads, "contract": spec.contract}
    said = {name: value for name, value in expected_values(spec).items() if not isinstance(value, tuple)}
    return {**{name: value for name, value in said.items() if value is not None}, "contract": spec.contract}


def _gpu_count(spec: EngineSpec) -> int | None:
    """GPUs that the server uses; None without one."""
    if isinstance(spec, CpuEngine):
        return None
    if isinstance(spec, TorchEngine):
        return None if spec.device == "cpu" else 1
    return spec.gpu_count


def _attach_deployment(endpoint: Endpoint, said: Description) -> Deployment:
    gpus = endpoint.gpus
    return Deployment(
        deployment_id=endpoint.name,
        kind="attach",
        model=endpoint.model,
        url=endpoint.url,
        protocol=endpoint.protocol,
        server=_server(said),
        not_available=dict(said.not_available),
        settings=dict(said.settings),
        gpu_count=gpus.count if gpus else None,
        gpu_product=gpus.product if gpus else None,
        gpu_memory_bytes=round(gpus.memory_gib * BYTES_PER_GIB) if gpus and gpus.memory_gib else None,
        token_count_source=token_count_source(said.contract, endpoint),
        tokenizer_hash=_tokenizer_hash(endpoint),
    )


def _server(said: Description) -> dict[str, object]:
    return {**said.server, "configurations": dict(said.configurations)}
