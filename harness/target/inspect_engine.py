"""Asking an engine folder or a running server what it really is (`harness engine inspect`)."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from harness.engine.engine_config import CONFIG, read_engine
from harness.engine.inspect import Found
from harness.errors import TargetNotReady, UsageError
from harness.target.describe import describe
from harness.target.endpoint import Endpoint
from harness.target.openai_server import served_models
from harness.target.reach import require_reachable, speaks_http1
from harness.target.triton import Contract, Description

_ADDRESS = re.compile(r"[A-Za-z0-9_.-]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}")


def inspect_folder(folder: Path) -> Found:
    """An engine folder as `trtllm-build` leaves it. Raises UsageError when it is none."""
    file = folder / CONFIG
    try:
        values, missing = read_engine(folder)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="an engine is a folder with config.json and rank*.engine"
        ) from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{file} is no JSON: {error}") from error
    except ValueError as error:
        raise UsageError(f"{file}: {error}", hint="give the folder that trtllm-build wrote to") from error
    return Found(str(folder), values, missing)


def inspect_url(url: str, model: str | None, *, expected_model: str | None = None) -> Found:
    """A running Triton (HTTP or gRPC port) or trtllm-serve. Raises TargetNotReady when it is neither.

    `model` has to be there; `expected_model` is preferred among several that a server behind OpenAI's API serves.
    """
    place = url.removeprefix("http://").removeprefix("grpc://").rstrip("/")
    if not _ADDRESS.fullmatch(place):
        raise UsageError(
            f"{url}: there is no such folder, and it is no host:port",
            hint="write the folder of an engine, or the address of a server, e.g. 127.0.0.1:8001",
        )
    require_reachable(Endpoint(name="inspect", url=place, protocol="triton_grpc", model=model or ""))
    if not speaks_http1(place):
        return _triton(place, "triton_grpc", model)
    try:
        return _triton(place, "triton_http", model)
    except TargetNotReady:
        return _openai(place, model, expected_model)


def _triton(place: str, protocol: str, model: str | None) -> Found:
    errors = []
    for name in (model,) if model else ("tensorrt_llm", "ensemble"):
        try:
            said = describe(Endpoint(name="inspect", url=place, protocol=protocol, model=name))
        except TargetNotReady as error:
            errors.append(error)
        else:
            return Found(place, _values(said, name), {**_untold_by_triton(said), **said.not_available})
    raise errors[-1]


def _openai(place: str, model: str | None, expected: str | None) -> Found:
    asked = Endpoint(name="inspect", url=place, protocol="openai_completions", model=model or "")
    served = served_models(asked)
    shown = next((name for name in (model, expected) if name in served), ", ".join(served))
    said = describe(dataclasses.replace(asked, model=model or shown.partition(", ")[0]))
    values: dict[str, Any] = {"server": "OpenAI's API (trtllm-serve?)", "contract": "openai", **said.server}
    values |= {"served_model_name": shown} if shown else {}
    untold = {part: why for part, why in said.not_available.items() if part != "model_metadata"}
    return Found(place, values, {"settings": "OpenAI's API tells no limits and no precision", **untold})


def _untold_by_triton(said: Description) -> dict[str, str]:
    """What no Triton tells of TensorRT-LLM, or this one does not."""
    untold = {"version": "Triton tells its own version, not that of TensorRT-LLM"}
    untold["limits"] = "those of the engine, and its precision, stand in its folder: inspect that"
    told = [name for name in ("max_batch_size", "max_num_tokens", "max_seq_len") if name in said.settings]
    if told:
        del untold["limits"]
    if said.contract is None:
        untold["contract"] = "the server does not tell the model's tensors"
    return untold


def _values(said: Description, model: str) -> dict[str, Any]:
    server = f"{said.server.get('name', 'Triton')} {said.server.get('version', '(version not told)')}"
    contract = {} if said.contract is None else {"contract": contract_name(said.contract)}
    return {"server": server, "model": model, **contract, **said.settings}


def contract_name(contract: Contract) -> str:
    """Which generation of TensorRT-LLM's tensors a model has."""
    if "sampling_param_max_tokens" in contract.inputs:
        return "llmapi"
    if {"request_output_len", "max_tokens"} & contract.inputs.keys():
        return "classic"
    return "neither classic nor llmapi"
