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
    server_pids: tuple[int, ...] = ()  # processes of the server when it runs on this host and we started it
