"""What the truth server answers over HTTP beside inference: health, metadata and configuration, as JSON."""

from __future__ import annotations

from typing import Any

from harness.truth.asked import find_model
from harness.truth.grpc import GrpcError, Status
from harness.truth.models import MAX_BATCH_SIZE, MODELS, VERSION, Model, Tensor
from harness.truth.service import Service

Answer = tuple[int, Any]  # status, JSON content (None: empty)
_SERVER = {"name": "harness truth server", "version": "2.0.0", "extensions": ["model_configuration", "generate"]}


def answer(service: Service, method: str, path: str) -> Answer:
    """The response to every request but those of inference."""
    fixed: dict[tuple[str, str], Answer] = {
        ("GET", "/v2/health/live"): (200, None),
        ("GET", "/v2/health/ready"): (200, None),
        ("GET", "/health"): (200, None),
        ("GET", "/version"): (200, {"version": "1.2.1"}),
        ("GET", "/v2"): (200, _SERVER),
        ("GET", "/v1/models"): (200, {"object": "list", "data": [_listed(name) for name in MODELS]}),
        ("POST", "/v2/repository/index"): (200, [{"name": name, "version": VERSION} for name in MODELS]),
    }
    if (method, path) in fixed:
        return fixed[method, path]
    if method == "GET" and path.startswith("/v2/models/"):
        return _about_model(service, path.removeprefix("/v2/models/"))
    return 404, {"error": f"no such route: {method} {path}"}


def _about_model(service: Service, rest: str) -> Answer:
    name, _, part = rest.partition("/")
    try:
        model = find_model(name)
    except GrpcError as error:
        return (400 if error.status is Status.NOT_FOUND else 500), {"error": error.message}
    if part == "ready":
        return 200, None
    if part == "config" and service.behaviour.model_configuration:
        return 200, _configuration(model, decoupled=service.behaviour.decoupled)
    if part == "":
        return 200, _metadata(model)
    return 404, {"error": f"the truth server does not offer {part}"}


def _metadata(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": "python",
        "inputs": [_described(tensor) for tensor in model.inputs],
        "outputs": [_described(tensor) for tensor in model.outputs],
    }


def _described(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": [-1, *tensor.dims]}


def _configuration(model: Model, *, decoupled: bool) -> dict[str, Any]:
    policy = {"decoupled": decoupled}
    return {"name": model.name, "max_batch_size": MAX_BATCH_SIZE, "model_transaction_policy": policy}


def _listed(name: str) -> dict[str, str]:
    return {"id": name, "object": "model", "owned_by": "tensorrt_llm"}
