"""What a scenario says about the server under test: an engine to start, or a running server to attach to."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, StringConstraints, field_validator, model_validator

from harness.scenario.strict import Strict, mistake
from harness.scenario.surroundings import EngineName, Headers, LocalFile, LocalPath

# `patternErrorMessage` is what editors with the YAML language server show, and our own messages too.
Slug = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80),
    Field(json_schema_extra={"patternErrorMessage": "lower-case letters, digits, `.`, `_`, `-` (at most 80)"}),
]
HostPort = Annotated[
    str,
    StringConstraints(pattern=r"^([^\s/:${}]+|\[[0-9a-fA-F:]+\]):\d{1,5}(/[A-Za-z0-9._~/-]*)?$"),
    Field(json_schema_extra={"patternErrorMessage": "host:port without http://, e.g. `127.0.0.1:8001`"}),
]
ProtocolName = Literal["triton_grpc", "triton_http", "openai_chat", "openai_completions"]


class EngineTarget(Strict):
    """Start this engine, measure it, stop it."""

    engine: EngineName = Field(description="name of an engine (`cpu-tiny`), or the path of an engine YAML file")
    on: Literal["embedded", "process", "container", "kubernetes"] = Field(
        "embedded",
        description="where it runs: `embedded` starts a real Triton with a cpu or torch engine on this machine; "
        "`process` starts the server of a rendered engine here, `container` in docker or podman; `kubernetes` only "
        "renders manifests (harness engine manifests), measure what they start with `attach`",
    )
    model: Literal["ensemble", "tensorrt_llm", "tensorrt_llm_bls"] = Field(
        "ensemble",
        description="the Triton model asked: `ensemble` and `tensorrt_llm_bls` take text, `tensorrt_llm` takes token "
        "ids; an engine with contract llmapi has only `tensorrt_llm`, which then takes text; an engine of kind serve "
        "has one model and asks for that",
    )
    protocol: ProtocolName = Field(
        "triton_grpc",
        description="how to talk to it: Triton's streaming gRPC, or its HTTP `generate_stream`; an engine of kind "
        "serve needs one of OpenAI's",
    )


class Tls(Strict):
    """TLS towards the target. Without `ca_file` the system's certificate authorities are trusted."""

    ca_file: LocalFile | None = Field(None, description="PEM file with the certificate authority to trust")
    cert_file: LocalFile | None = Field(None, description="PEM file with the client certificate, for mutual TLS")
    key_file: LocalFile | None = Field(None, description="PEM file with the client's private key")
    server_name: str | None = Field(None, description="name expected in the server's certificate; default: the host")

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Tls:
        if (self.cert_file is None) != (self.key_file is None):
            given = "cert_file" if self.key_file is None else "key_file"
            raise mistake("cert_file and key_file belong together: give both or neither", given)
        return self


class Gpus(Strict):
    """The GPUs behind the target. Per-GPU metrics divide by `count`; without this block they are not available."""

    count: PositiveInt = Field(description="GPUs that serve the target")
    product: str | None = Field(None, description="product name, e.g. `NVIDIA H100 80GB HBM3`")
    memory_gib: PositiveFloat | None = Field(None, description="memory of one GPU in GiB")


class Attach(Strict):
    """A server that runs already."""

    name: Slug | None = Field(None, description="name in reports and baselines; default: a slug of host and model")
    url: HostPort = Field(
        description="host:port of the server, e.g. `127.0.0.1:8001`; for protocols over HTTP/1.1 a gateway's path may"
        " follow: `gateway:443/team/llm`"
    )
    protocol: ProtocolName = Field(
        "triton_grpc",
        description="how to talk to it: Triton's gRPC or HTTP, or OpenAI's chat completions or completions as"
        " trtllm-serve speaks them",
    )
    model: str = Field("ensemble", description="the model asked; for OpenAI's protocols the served model's name")
    headers: Headers = Field(
        default_factory=dict,
        repr=False,
        exclude=True,  # a loaded scenario holds the secrets: dumping it must not write them anywhere
        description="metadata sent with each request; secrets only as ${ENV_NAME}",
    )
    tls: Tls | None = Field(None, description="TLS settings; absent: plain text")
    metrics_url: str | None = Field(None, description="Triton's metrics page, e.g. `http://127.0.0.1:8002/metrics`")
    tokenizer: LocalPath | None = Field(None, description="local tokenizer.json, or a folder with one")
    gpus: Gpus | None = Field(None, description="the GPUs behind the target")

    @property
    def slug(self) -> str:
        """The name used in reports, baselines and deployment ids."""
        return self.name or re.sub(r"[^a-z0-9._]+", "-", f"{self.url}-{self.model}".lower()).strip("-._")

    @field_validator("url")
    @classmethod
    def _has_a_real_port(cls, url: str) -> str:
        if not 1 <= int(url.partition("/")[0].rpartition(":")[2]) <= 65535:
            raise mistake("the port must be between 1 and 65535")
        return url

    @property
    def base_path(self) -> str:
        """What stands before every path: empty, or `/like/this`."""
        _, slash, rest = self.url.partition("/")
        return (slash + rest).rstrip("/")

    @model_validator(mode="after")
    def _only_http_has_paths(self) -> Attach:
        if self.protocol == "triton_grpc" and "/" in self.url:
            raise mistake("gRPC has no path behind host:port; protocols over HTTP/1.1 have", "url")
        return self

    @field_validator("metrics_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not re.match(r"^https?://", url):
            raise mistake("must begin with http:// or https://")
        return url


class AttachTarget(Strict):
    """Measure a server that runs already; nothing is started."""

    attach: Attach = Field(description="the server that runs already")
