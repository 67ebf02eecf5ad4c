"""Where and how to ask the server under test: all a driver or a telemetry source needs to know about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.scenario.target import Gpus, Tls


@dataclass(frozen=True)
class Endpoint:
    """One server under test. Headers may hold secrets: an endpoint is never stored nor printed."""

    name: str
    url: str  # host:port of the protocol's listener
    protocol: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Tls | None = None
    metrics_url: str | None = None
    tokenizer: Path | None = None  # a tokenizer.json
    gpus: Gpus | None = None
    grpc_url: str | None = None  # Triton's gRPC listener where the protocol uses another one
    base_path: str = ""  # before every path of an HTTP/1.1 protocol
    server_pids: tuple[int, ...] = ()  # processes of the server when it runs on this host and we started it

    @property
    def triton_grpc_url(self) -> str | None:
        """host:port at which Triton's gRPC service answers what is not measured; None where there is none."""
        return self.url if self.protocol == "triton_grpc" else self.grpc_url
