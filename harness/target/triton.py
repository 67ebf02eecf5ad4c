"""What a Triton server says it is, over gRPC with tritonclient. Everything here is outside the measured path.

Each part may be missing (a gateway that lets only inference through, an older server): it is then "not available" with
the reason. Only a target that cannot be measured at all raises TargetNotReady.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from harness.errors import TargetNotReady
from harness.target.endpoint import Endpoint
from harness.target.reach import require_reachable, speaks_http1
from harness.target.triton_settings import settings_of

CALL_S = 5.0
ENGINE_MODEL = "tensorrt_llm"  # its configuration holds the engine's settings, whichever model is asked


@dataclass(frozen=True)
class Tensor:
    """One declared input or output. `shape` as declared, batch dimension included; -1 is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Contract:
    """The tensors that the model has. A client asks for an optional one only when it is here."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    def counts_tokens(self) -> bool:
        """Whether the server tells how many tokens it made: as a count, or by sending the ids themselves."""
        counts = {"return_num_output_tokens"} <= self.inputs.keys() and {"num_output_tokens"} <= self.outputs.keys()
        return counts or "output_ids" in self.outputs


@dataclass(frozen=True)
class Description:
    """What the server said. A part that is None or empty has its reason in `not_available`."""

    server: Mapping[str, Any] = field(default_factory=dict)  # name, version, extensions
    contract: Contract | None = None
    configurations: Mapping[str, Any] = field(default_factory=dict)  # model → its configuration
    settings: Mapping[str, Any] = field(default_factory=dict)  # serving settings read from the configurations
    not_available: Mapping[str, str] = field(default_factory=dict)


def describe(endpoint: Endpoint) -> Description:
    """Ask the server for all it says about itself. Raises TargetNotReady when the model cannot be measured there."""
    require_reachable(endpoint)
    with connected(endpoint) as client:
        missing: dict[str, str] = {}
        live = _ask_health(client.is_server_live, endpoint, missing, "server_live")
        ready = _ask_health(functools.partial(client.is_model_ready, endpoint.model), endpoint, missing, "model_ready")
        metadata = _ask(client.get_server_metadata, endpoint, missing, "server_metadata", as_json=True)
        if live is None and ready is None and metadata is None:
            raise TargetNotReady(
                f"{endpoint.url} answers gRPC but is no Triton server: {missing['server_live']}",
                hint="attach needs the KServe v2 gRPC service of Triton (default port 8001)",
            )
        if ready is False:
            raise _model_not_ready(client, endpoint)
        ask_metadata = functools.partial(client.get_model_metadata, endpoint.model)
        metadata_of_model = _ask(ask_metadata, endpoint, missing, "model_metadata", as_json=True)
        configurations = _configurations(client, endpoint, missing)
    return Description(
        server=metadata or {},
        contract=contract_in(metadata_of_model) if metadata_of_model else None,
        configurations=configurations,
        settings=settings_of(configurations, endpoint.model),
        not_available=missing,
    )


def contract(endpoint: Endpoint) -> Contract | None:
    """The tensors of the endpoint's model; None when the server does not tell."""
    return describe(endpoint).contract


@contextlib.contextmanager
def connected(endpoint: Endpoint) -> Iterator[Any]:
    """A tritonclient gRPC client for the endpoint, TLS included; headers go with each call (`headers=`)."""
    tls = endpoint.tls
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))  # type: ignore[arg-type]
    client = triton_grpc.InferenceServerClient(
        endpoint.url,
        ssl=tls is not None,
        root_certificates=str(tls.ca_file) if tls and tls.ca_file else None,
        private_key=str(tls.key_file) if tls and tls.key_file else None,
        certificate_chain=str(tls.cert_file) if tls and tls.cert_file else None,
        channel_args=options,
    )
    with contextlib.closing(client):
        yield client


def _ask(call: Callable[..., Any], endpoint: Endpoint, missing: dict[str, str], part: str, **more: Any) -> Any:
    """The answer; None, and the reason in `missing`, when the server does not give it."""
    try:
        return call(headers=dict(endpoint.headers), client_timeout=CALL_S, **more)
    except InferenceServerException as error:
        missing[part] = f"the server answered {_status(error)}: {_short(error)}"
        return None


def _ask_health(call: Callable[..., Any], endpoint: Endpoint, missing: dict[str, str], part: str) -> Any:
    """As `_ask`, but a refusal or a broken connection is raised: then nothing can be measured."""
    try:
        return call(headers=dict(endpoint.headers), client_timeout=CALL_S)
    except InferenceServerException as error:
        if (fatal := _fatal(error, endpoint)) is not None:
            raise fatal from error
        missing[part] = f"the server answered {_status(error)}: {_short(error)}"
        return None


def _fatal(error: Any, endpoint: Endpoint) -> TargetNotReady | None:
    """The answers to a health question after which nothing can be measured."""
    status, said = _status(error), f"{_status(error)}: {_short(error)}"
    if status in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        sent = ", ".join(sorted(endpoint.headers)) or "none"
        return TargetNotReady(
            f"{endpoint.url} refuses the credentials ({said})",
            hint=f"headers sent: {sent}; set attach.headers, with the secret as ${{ENV_NAME}}",
        )
    if status not in ("UNAVAILABLE", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"):
        return None
    if endpoint.tls is None and speaks_http1(endpoint.url):
        return TargetNotReady(
            f"{endpoint.url} speaks HTTP/1, not gRPC",
            hint="Triton's gRPC port is 8001 by default; 8000 is its HTTP port, 8002 its metrics page",
        )
    plain = "" if endpoint.tls else "; if the server wants TLS, add tls to the target"
    return TargetNotReady(
        f"{endpoint.url} accepts connections but does not answer as a Triton server ({said})",
        hint=f"check that this is Triton's gRPC port{plain}",
    )


def _model_not_ready(client: Any, endpoint: Endpoint) -> TargetNotReady:
    """Why the model cannot be asked: it failed to load, or there is none of that name (then the nearest that is)."""
    unlisted: dict[str, str] = {}
    index = _ask(client.get_model_repository_index, endpoint, unlisted, "index", as_json=True)
    models = {entry["name"]: entry for entry in (index or {}).get("models", [])}
    if endpoint.model in models:
        entry = models[endpoint.model]
        why = entry.get("reason") or entry.get("state") or "no reason given"
        return TargetNotReady(f"{endpoint.url}: model {endpoint.model!r} is not ready: {why}")
    nearest = difflib.get_close_matches(endpoint.model, models, n=1)
    known = f"its models: {', '.join(sorted(models))}" if models else "it does not list its models"
    return TargetNotReady(
        f"{endpoint.url} has no model {endpoint.model!r}; {known}",
        hint=f"did you mean {nearest[0]!r}?" if nearest else "set attach.model",
    )


def _configurations(client: Any, endpoint: Endpoint, missing: dict[str, str]) -> dict[str, Any]:
    """The configuration of the model asked, and of the engine's model where the server has one."""
    found = {}
    for model in dict.fromkeys((endpoint.model, ENGINE_MODEL)):
        part = f"model_configuration:{model}"
        ask = functools.partial(client.get_model_config, model)
        answer = _ask(ask, endpoint, missing, part, as_json=True)
        if answer is not None:
            found[model] = answer.get("config", answer)
    return found


def contract_in(metadata: Mapping[str, Any]) -> Contract:
    """The tensors that a model's metadata lists, as Triton writes it in JSON."""
    return Contract(*(_tensors(metadata.get(side, [])) for side in ("inputs", "outputs")))


def _tensors(declared: list[Mapping[str, Any]]) -> dict[str, Tensor]:
    # 64-bit integers are strings in protobuf's JSON.
    return {
        entry["name"]: Tensor(entry["name"], entry["datatype"], tuple(int(size) for size in entry.get("shape", [])))
        for entry in declared
    }


def _status(error: Any) -> str:
    return str(error.status() or "no status").removeprefix("StatusCode.")


def _short(error: Any) -> str:
    line = " ".join((error.message() or "no message").split())
    return line if len(line) <= 200 else f"{line[:199]}…"
