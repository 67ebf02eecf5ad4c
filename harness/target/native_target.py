"""The targets `process` and `container`: an engine's rendered repository behind a real server, for a `with` block.

From an engine to a `ServerStart`, from there to a server that is ready, answers, serves the right model with the right
settings, and is warm. Every phase of the start is timed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.engine.classic import ClassicEngine
from harness.engine.cpu import CpuEngine
from harness.engine.engine_config import differences
from harness.engine.inspect import expected_of_server
from harness.engine.llmapi import LlmApiEngine, ServeEngine
from harness.engine.load import LoadedEngine
from harness.engine.native_repository import Places, classic_repository, llmapi_repository
from harness.engine.native_templates import find_templates
from harness.engine.spec import EngineSpec, NativeSpec
from harness.engine.torch_engine import TorchEngine
from harness.errors import TargetNotReady, UsageError
from harness.target import first_token, native, native_commands, private_folder, tritonserver
from harness.target.describe import describe
from harness.target.endpoint import Endpoint
from harness.target.inspect_engine import contract_name
from harness.target.launch import READY_LIMIT_S, lay_out, prepare_parts
from harness.target.model_cache import TOKENIZER
from harness.target.native import Running, ServerStart
from harness.target.native_engines import NativePlace, native_start, with_whole_paths
from harness.target.ports import LOOPBACK, Ports, WantedPorts, choose
from harness.target.process import Child
from harness.target.readiness import Health
from harness.target.start_phases import StartPhases, warm_up
from harness.target.triton import Description
from harness.target.tritonserver import ServerFolder

PROBE_LIMIT_S = 60.0
LOAD_LIMIT_S = 1800.0  # weights of a 70B model from a slow disk, CUDA graphs, the autotuner
Progress = Callable[[str], None]


@dataclass(frozen=True)
class NativeServer:
    """A server that was started here, is ready and has answered."""

    running: Running
    endpoint: Endpoint
    said: Description
    start_phases: dict[str, float]
    log: Path


@contextlib.contextmanager
def native_server(
    engine: LoadedEngine, on: str, model: str, protocol: str, *, log: Path, progress: Progress
) -> Iterator[NativeServer]:
    """Start it, use it, take it down. Raises UsageError for what cannot be started here, TargetNotReady otherwise."""
    phases = StartPhases()
    with private_folder.kept_on_success() as root:
        try:
            ports = choose(WantedPorts())
            start, tokenizer = _prepare(engine, on, root, ports, progress)
            progress(f"starting {engine.spec.name} ({on})")
            running = native.bring_up(start, log, limit_s=_limit_s(engine), progress=progress, phases=phases)
            with _taken_down(start, running.child):
                private_folder.mark(root, running.child.identity)
                endpoint = _endpoint(engine, running, ports, model, protocol, tokenizer)
                yield _answering(engine, running, endpoint, ports, phases, log)
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _limit_s(engine: LoadedEngine) -> float:
    return READY_LIMIT_S if isinstance(engine.spec, CpuEngine | TorchEngine) else LOAD_LIMIT_S


@contextlib.contextmanager
def _taken_down(start: ServerStart, child: Child) -> Iterator[None]:
    try:
        yield
    finally:
        native.take_down(start, child)


def _answering(
    engine: LoadedEngine, running: Running, endpoint: Endpoint, ports: Ports, phases: StartPhases, log: Path
) -> NativeServer:
    """Ask what it is, and probe it until it is warm. Raises TargetNotReady: the wrong model, or no answers."""
    try:
        said = describe(endpoint)
        _require_same(engine, said)
        if said.contract is not None:
            question = first_token.triton_question(LOOPBACK, ports.http, endpoint.model, said.contract)
        else:
            question = first_token.openai_question(LOOPBACK, ports.http, endpoint.model)
        warm_up(first_token.prober(question, PROBE_LIMIT_S), phases)
    except TargetNotReady as error:
        dead = running.check_alive()
        hint = f"{error.hint}\n  the whole log: {log}" if error.hint else f"the whole log: {log}"
        raise TargetNotReady(dead or error.message, hint=hint) from error
    return NativeServer(running, endpoint, said, dict(phases.reached_s), log)


def _require_same(engine: LoadedEngine, said: Description) -> None:
    """What the server tells of its settings is what the spec says. Raises TargetNotReady."""
    contract = {} if said.contract is None else {"contract": contract_name(said.contract)}
    differ = differences(expected_of_server(engine.spec), {**said.settings, **contract})
    if differ:
        raise TargetNotReady(
            f"the server is not what {engine.spec.name} says: {'; '.join(map(str, differ))}",
            hint="was its repository rendered from another version of the spec?",
        )


def _endpoint(
    engine: LoadedEngine, running: Running, ports: Ports, model: str, protocol: str, tokenizer: Path | None
) -> Endpoint:
    return Endpoint(
        name=engine.spec.name,
        url=f"{LOOPBACK}:{ports.grpc if protocol == 'triton_grpc' else ports.http}",
        protocol=protocol,
        grpc_url=None if protocol.startswith("openai_") else f"{LOOPBACK}:{ports.grpc}",
        model=model,
        metrics_url=metrics_page(engine.spec, protocol, ports),
        tokenizer=tokenizer,
        server_pids=tuple(member.pid for member in running.family),
    )


def metrics_page(spec: EngineSpec, protocol: str, ports: Ports) -> str | None:
    """Where the server shows its gauges; None for a trtllm-serve that is not told to.

    Not its `/metrics`: that is JSON, and whoever reads it takes it away from others (`facts/trtllm.md` §4.2).
    """
    if not protocol.startswith("openai_"):
        return f"http://{LOOPBACK}:{ports.metrics}/metrics"
    if isinstance(spec, ServeEngine) and spec.llm.return_perf_metrics:
        return f"http://{LOOPBACK}:{ports.http}/prometheus/metrics"
    return None


def _prepare(
    engine: LoadedEngine, on: str, root: Path, ports: Ports, progress: Progress
) -> tuple[ServerStart, Path | None]:
    """What to start, with everything it needs written below `root`; and the tokenizer, where there is one."""
    spec = engine.spec
    if isinstance(spec, CpuEngine | TorchEngine):
        if on == "container":
            raise UsageError(
                f"engine {spec.name} (kind {spec.kind}) brings its own Triton, no container",
                hint="write `on: embedded` or `on: process`",
            )
        return _own_triton(engine, root, ports, progress)
    whole = with_whole_paths(spec)
    return native_start(whole, NativePlace(on, root, ports), _render, progress), _tokenizer(whole)


def _render(spec: ClassicEngine | LlmApiEngine, engine_dir: str) -> Mapping[str, bytes]:
    """The rendered repository, from NVIDIA's templates where they are at hand. Raises UsageError."""
    templates = find_templates(spec.kind, None)
    if isinstance(spec, LlmApiEngine):
        return llmapi_repository(spec, templates)
    return classic_repository(spec, Places(engine_dir, spec.model.tokenizer_source), templates)


def _tokenizer(spec: NativeSpec) -> Path | None:
    """The tokenizer's file, where the spec names a folder of this host."""
    file = Path(spec.model.tokenizer_source) / TOKENIZER
    return file if file.is_file() else None


def _own_triton(engine: LoadedEngine, root: Path, ports: Ports, progress: Progress) -> tuple[ServerStart, Path]:
    """The Triton of our server environment, for the engines that compute there."""
    parts = prepare_parts(engine, progress)
    folder = ServerFolder(root)
    lay_out(engine, parts, folder)
    binary = str(tritonserver.binary(parts.environment))
    more = [f"--backend-directory={folder.backends}", "--allow-gpu-metrics=false"]
    start = ServerStart(
        command=native_commands.tritonserver(binary, folder.repository, ports, more=more),
        health=Health("Triton", ports.http),
        working_folder=folder.working,
        variables=tritonserver.variables(parts.environment, folder, os.environ),
        grace_s=native_commands.EXIT_TIMEOUT_S + 3.0,
    )
    return start, parts.model / TOKENIZER
