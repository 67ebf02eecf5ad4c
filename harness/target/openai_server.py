"""What a server behind OpenAI's API says it is (trtllm-serve, or a gateway): health, version, models."""

from __future__ import annotations

import difflib
from typing import Any

from harness.errors import TargetNotReady
from harness.target.endpoint import Endpoint
from harness.target.http_questions import ask_first, ask_part
from harness.target.reach import require_reachable
from harness.target.triton import Description

_HINT = "attach with an openai protocol needs the server's HTTP port (trtllm-serve: 8000), and its path if it has one"
_NO_METADATA = "OpenAI's API does not tell a model's tensors or settings"


def describe(endpoint: Endpoint) -> Description:
    """Ask the server for all it says about itself. Raises TargetNotReady when the model is known not to be there."""
    require_reachable(endpoint)
    missing = {"model_metadata": _NO_METADATA}
    models = ask_first(endpoint, "/v1/models", hint=_HINT)
    if models.is_ok:
        _require_model(endpoint, _names(models.content))
    else:
        missing["models"] = models.reason
    health = ask_first(endpoint, "/health", hint=_HINT)
    if health.status == 503:
        raise TargetNotReady(f"{endpoint.url} says that it is not healthy: {health.reason}")
    if not health.is_ok:
        missing["health"] = health.reason
    version = ask_part(endpoint, "/version", missing, "server_version")
    return Description(server=version if isinstance(version, dict) else {}, not_available=missing)


def served_models(endpoint: Endpoint) -> list[str]:
    """The names of the models there; empty when the server does not list them. Raises TargetNotReady."""
    models = ask_first(endpoint, "/v1/models", hint=_HINT)
    return _names(models.content) if models.is_ok else []


def _names(content: Any) -> list[str]:
    listed = content.get("data") if isinstance(content, dict) else None
    return [str(entry["id"]) for entry in listed or [] if isinstance(entry, dict) and "id" in entry]


def _require_model(endpoint: Endpoint, names: list[str]) -> None:
    if not names or endpoint.model in names:
        return
    nearest = difflib.get_close_matches(endpoint.model, names, n=1)
    raise TargetNotReady(
        f"{endpoint.url} has no model {endpoint.model!r}; its models: {', '.join(sorted(names))}",
        hint=f"did you mean {nearest[0]!r}?" if nearest else "set attach.model",
    )
