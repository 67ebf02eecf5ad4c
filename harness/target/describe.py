"""What the server under test says it is, asked in the words that its endpoint understands."""

from __future__ import annotations

import dataclasses

from harness.target import openai_server, triton, triton_over_http
from harness.target.endpoint import Endpoint
from harness.target.triton import Description


def describe(endpoint: Endpoint) -> Description:
    """Ask the server. Raises TargetNotReady when the model cannot be measured there."""
    if endpoint.protocol.startswith("openai_"):
        return openai_server.describe(endpoint)
    if endpoint.triton_grpc_url is None:
        return triton_over_http.describe(endpoint)
    return triton.describe(dataclasses.replace(endpoint, url=endpoint.triton_grpc_url, protocol="triton_grpc"))
