"""What a Triton server says it is, over HTTP: the parts that `triton` asks for over gRPC."""

from __future__ import annotations

from harness.errors import TargetNotReady
from harness.target.endpoint import Endpoint
from harness.target.http_questions import ask, ask_first, ask_part
from harness.target.reach import require_reachable
from harness.target.triton import ENGINE_MODEL, Description, contract_in
from harness.target.triton_settings import settings_of

_HINT = "attach with protocol triton_http needs Triton's HTTP port (default 8000; 8001 is gRPC, 8002 the metrics page)"


def describe(endpoint: Endpoint) -> Description:
    """Ask the server for all it says about itself. Raises TargetNotReady when the model cannot be measured there."""
    require_reachable(endpoint)
    missing: dict[str, str] = {}
    live = ask_first(endpoint, "/v2/health/live", hint=_HINT)
    if not live.is_ok:
        missing["server_live"] = live.reason
    model = f"/v2/models/{endpoint.model}"
    ready = ask(endpoint, f"{model}/ready")
    metadata = ask_part(endpoint, model, missing, "model_metadata")
    if not ready.is_ok and metadata is None:
        if not live.is_ok and ready.status == 404:
            raise TargetNotReady(f"{endpoint.url} is no Triton server: {live.reason}", hint=_HINT)
        raise TargetNotReady(f"{endpoint.url}: model {endpoint.model!r} is not ready: {ready.reason}", hint=_NAME)
    configurations = {}
    for name in dict.fromkeys((endpoint.model, ENGINE_MODEL)):
        found = ask_part(endpoint, f"/v2/models/{name}/config", missing, f"model_configuration:{name}")
        if found is not None:
            configurations[name] = found
    return Description(
        server=ask_part(endpoint, "/v2", missing, "server_metadata") or {},
        contract=contract_in(metadata) if metadata else None,
        configurations=configurations,
        settings=settings_of(configurations, endpoint.model),
        not_available=missing,
    )


_NAME = "set attach.model to a model that the server has"
