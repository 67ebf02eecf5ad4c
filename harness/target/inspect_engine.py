"""Asking an engine folder or a running server what it really is (`harness engine inspect`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.engine.inspect import Found, engine_values
from harness.errors import TargetNotReady, UsageError
from harness.target.describe import describe
from harness.target.endpoint import Endpoint
from harness.target.reach import require_reachable, speaks_http1
from harness.target.triton import Contract, Description

CONFIG = "config.json"


def inspect_folder(folder: Path) -> Found:
    """An engine folder as `trtllm-build` leaves it. Raises UsageError when it is none."""
    file = folder / CONFIG
    try:
        config = json.loads(file.read_text())
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="an engine is a folder with config.json and rank*.engine"
        ) from error
    except ValueError as error:
        raise UsageError(f"{file} is no JSON: {error}") from error
    try:
        values = engine_values(config)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise UsageError(f"{file}: {error}", hint="give the folder that trtllm-build wrote to") from error
    ranks = sorted(folder.glob("rank*.engine"))
    values["ranks"] = len(ranks)
    values["engine_bytes"] = sum(rank.stat().st_size for rank in ranks)
    missing = {}
    wanted = values.get("world_size")
    if wanted is not None and wanted != len(ranks):
        missing["ranks"] = f"config.json says {wanted} ranks, {len(ranks)} rank*.engine files are there"
    return Found(str(folder), values, missing)


def inspect_url(url: str, model: str | None) -> Found:
    """A running Triton (HTTP or gRPC port) or trtllm-serve. Raises TargetNotReady when it is neither."""
    place = url.removeprefix("http://").removeprefix("grpc://").rstrip("/")
    if ":" not in place:
        raise UsageError(f"{url}: no port", hint="write host:port, e.g. 127.0.0.1:8001")
    require_reachable(Endpoint(name="inspect", url=place, protocol="triton_grpc", model=model or ""))
    if not speaks_http1(place):
        return _triton(place, "triton_grpc", model)
    try:
        return _triton(place, "triton_http", model)
    except TargetNotReady:
        return _openai(place, model)


def _triton(place: str, protocol: str, model: str | None) -> Found:
    errors = []
    for name in (model,) if model else ("tensorrt_llm", "ensemble"):
        try:
            said = describe(Endpoint(name="inspect", url=place, protocol=protocol, model=name))
        except TargetNotReady as error:
            errors.append(error)
        else:
            return Found(place, _values(said, name), dict(said.not_available))
    raise errors[-1]


def _openai(place: str, model: str | None) -> Found:
    said = describe(Endpoint(name="inspect", url=place, protocol="openai_completions", model=model or ""))
    values: dict[str, Any] = {"server": "OpenAI's API (trtllm-serve?)", **said.server}
    return Found(place, values, dict(said.not_available))


def _values(said: Description, model: str) -> dict[str, Any]:
    server = f"{said.server.get('name', 'Triton')} {said.server.get('version', '(version not told)')}"
    return {"server": server, "model": model, "contract": contract_name(said.contract), **said.settings}


def contract_name(contract: Contract | None) -> str:
    """Which generation of TensorRT-LLM's tensors a model has."""
    if contract is None:
        return "not told"
    if "sampling_param_max_tokens" in contract.inputs:
        return "llmapi"
    if {"request_output_len", "max_tokens"} & contract.inputs.keys():
        return "classic"
    return "neither classic nor llmapi"
