"""What the numbers belong to: hardware, software, server, settings, seeds, telemetry, and how to measure it again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from harness.metrics.catalog import METRICS
from harness.records.manifest import Deployment, Manifest
from harness.report.places import Place
from harness.report.shown import Definition, Facts
from harness.scenario.schema import Scenario
from harness.units import show_bytes

SOURCES = {
    "nvml": "GPUs (NVML)",
    "prometheus": "Triton's metrics page",
    "triton_statistics": "Triton's per-model statistics",
    "host": "host: CPU and memory",
    "sampler": "the sampler's own timing",
}
LONGEST_LINE = 160  # of JSON that stands in a list; longer values are documents


def telemetry(manifest: Manifest, samples: Mapping[str, int]) -> Facts:
    """Each source of telemetry with its number of samples, or why there are none. `samples`: source → rows."""
    names = sorted({*samples, *manifest.telemetry_not_available}, key=lambda name: [*SOURCES, name].index(name))
    rows = []
    for name in names:
        parts = [f"{samples[name]} samples"] if samples.get(name) else []
        if reason := manifest.telemetry_not_available.get(name):
            parts.append(reason if not parts else f"not always: {reason}")
        rows.append((SOURCES.get(name, name), "; ".join(parts)))
    return Facts("Telemetry", tuple(rows) or (("telemetry", "none was recorded"),))


def identity(manifest: Manifest, scenario: Scenario, found: Sequence[Place]) -> tuple[Facts, ...]:
    """What ran, where, with which settings and seeds."""
    return (
        Facts("Run", tuple(_run(manifest, scenario, found))),
        *(Facts(f"Server: {d.deployment_id}", tuple(_deployment(d))) for d in _in_full(manifest)),
        *_differing(manifest),
        Facts("Load host", (*_flat("", manifest.host), *_gpus(manifest))),
    )


def _run(manifest: Manifest, scenario: Scenario, found: Sequence[Place]) -> Iterator[tuple[str, str]]:
    yield "run", manifest.run_id
    yield "scenario", f"{PurePath(manifest.scenario_file).name} (hash {manifest.scenario_hash[:12]})"
    yield "harness", f"{manifest.harness_version}, metric definitions version {manifest.metrics_version}"
    yield "campaign, attempt", f"{manifest.campaign}, {manifest.attempt}"
    yield "seed, salt", f"{manifest.seed}, {manifest.salt}"
    phases = scenario.phases
    window = (
        f"{phases.window_length_s:g} s" if phases.window_length_s is not None else f"{phases.window_requests} requests"
    )
    drain = scenario.request.timeout_s if phases.drain_limit_s is None else phases.drain_limit_s
    yield "phases", f"warm-up {phases.warm_up_s:g} s, window {window}, drain at most {drain:g} s"
    yield "request timeout", f"{scenario.request.timeout_s:g} s"
    for what, sources in _token_sources(found).items():
        yield f"{what} tokens counted by", ", ".join(sources)
    yield "prompts", "not stored"


def _token_sources(found: Sequence[Place]) -> dict[str, list[str]]:
    sources: dict[str, list[str]] = {}
    for place in found:
        for repetition in place.summary.repetitions if place.summary is not None else ():
            for what, named in sorted(repetition.token_sources.items()):
                for source in filter(None, named.split(", ")):
                    if source not in sources.setdefault(what, []):
                        sources[what].append(source)
    return sources


def _in_full(manifest: Manifest) -> list[Deployment]:
    """The deployments shown in full: of a sweep, where they differ in what was varied only, one that was measured."""
    if not any(d.varied for d in manifest.deployments):
        return manifest.deployments
    return [d for d in manifest.deployments if d.failure is None][:1] or manifest.deployments[:1]


def _differing(manifest: Manifest) -> Iterator[Facts]:
    others = [d for d in manifest.deployments if d not in _in_full(manifest)]
    if others:
        same = "like the one above but for these settings; its file lies in engines/ of the run folder"
        yield Facts("The other servers", tuple((d.deployment_id, d.failure or same) for d in others))


def _deployment(deployment: Deployment) -> Iterator[tuple[str, str]]:
    yield "kind", deployment.kind
    yield "model", f"{deployment.model} over {deployment.protocol} at {deployment.url}"
    if deployment.engine_name:
        yield "engine", f"{deployment.engine_name} (hash {(deployment.engine_hash or 'unknown')[:12]})"
    yield "GPUs", _gpu_text(deployment)
    for phase, seconds in deployment.start_phases.items():
        if phase.startswith("load:"):
            yield f"start, load of {phase.removeprefix('load:')}", f"took {seconds:.2f} s"
        else:
            yield f"start, {phase.replace('_', ' ')}", f"after {seconds:.2f} s"
    yield from _flat("setting ", deployment.settings)
    yield from _flat("server ", deployment.server)
    for part, reason in sorted(deployment.not_available.items()):
        yield part, f"not available: {reason}"


def _gpu_text(deployment: Deployment) -> str:
    if deployment.gpu_count is None:
        return "not stated: per-GPU metrics are not available"
    return f"{deployment.gpu_count} × {deployment.gpu_product or 'GPU'}"


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values; nested ones as one line of JSON."""
    for name, value in sorted(values.items()):
        if value is None:
            yield prefix + name, "not told"
        elif name.endswith("_bytes") and isinstance(value, int | float):
            yield prefix + name.removesuffix("_bytes"), show_bytes(value)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            yield prefix + name, str(value)
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            yield prefix + name, ", ".join(value)
        elif isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
            yield prefix + name, ", ".join(f"{key} {item}" for key, item in sorted(value.items()))
        elif not _is_long(value):
            yield prefix + name, _json(value)


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent)


def _is_long(value: Any) -> bool:
    if not isinstance(value, dict | list):
        return False
    flat = all(isinstance(item, str) for item in (value.values() if isinstance(value, dict) else value))
    return not flat and len(_json(value)) > LONGEST_LINE


def documents(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """(title, text) of what is too long for a line: scenario, engine specs, what servers said of their models."""
    found = [("The scenario as it was run", manifest.scenario_text)]
    for deployment in _in_full(manifest):
        if deployment.engine_spec:
            found.append((f"Engine {deployment.engine_name or deployment.deployment_id}", deployment.engine_spec))
        found += _long_values(f"Server {deployment.deployment_id}", {**deployment.settings, **deployment.server})
    return (*found, *_long_values("Load host", manifest.host))


def _long_values(owner: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(f"{owner}: {name}", _json(value, indent=1)) for name, value in sorted(values.items()) if _is_long(value)]


def _gpus(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if not manifest.gpus:
        yield "GPUs", manifest.telemetry_not_available.get("nvml", "none listed")
    for number, gpu in enumerate(manifest.gpus):
        yield f"GPU {number}", ", ".join(f"{name} {value}" for name, value in _flat("", gpu))


def command(manifest: Manifest) -> str:
    """The command that made the run."""
    return shlex.join(manifest.command_line)


def definitions() -> tuple[Definition, ...]:
    """Every metric of the catalog, as the catalog defines it."""
    units = {"ns": "ms", "per_s": "per second", "ratio": "%", "tokens": "tokens"}
    return tuple(
        Definition(metric.name, metric.title, units[metric.unit], metric.better or "–", metric.definition)
        for metric in METRICS.values()
    )
