"""Attaching to servers that are not there, not Triton, not for us, or that say little about themselves."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harness.errors import TargetNotReady
from harness.scenario.surroundings import Surroundings
from harness.scenario.target import Attach, AttachTarget, Tls
from harness.target.opened import OpenTarget, open_target

pytestmark = pytest.mark.integration

NAME = "server.test"


class Terse(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A server that lets health and inference through, as a strict gateway would; all the rest is UNIMPLEMENTED."""

    def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=request.name == "ensemble")


class Grudging(Terse):
    """A gateway that answers health and refuses all questions about the server, without a key for those."""

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")

    def ModelConfig(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNAVAILABLE, "no such route")


class Locked(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A server that wants a key."""

    def ServerLive(self, request: Any, context: Any) -> Any:
        if ("x-api-key", "right") not in [(item.key, item.value) for item in context.invocation_metadata()]:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key, no entry")
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=True)


@contextlib.contextmanager
def serving(servicer: Any, credentials: Any = None) -> Iterator[str]:
    """A gRPC server with this service (None: with no service at all); its address."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    if servicer is not None:
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def attached(url: str, **settings: Any) -> Iterator[OpenTarget]:
    """As the loader of scenarios makes it: variables are filled in from the environment."""
    around = Surroundings(Path.cwd(), os.environ)
    attach = Attach.model_validate({"url": url, **settings}, context=around)
    with open_target(AttachTarget(attach=attach), progress=lambda _: None) as target:
        yield target


def refusal(url: str, **settings: Any) -> TargetNotReady:
    with pytest.raises(TargetNotReady) as caught, attached(url, **settings):
        pass
    return caught.value


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two self-signed certificates for NAME: `right` is the server's, `wrong` is a stranger's."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH: no certificates to test with")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("right", "wrong"):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", "-days", "2"]
        command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
        subprocess.run(command, check=True, capture_output=True)
    return {name: folder / f"{name}.pem" for name in ("right", "wrong")}


@pytest.fixture(scope="module")
def tls_url(certificates: dict[str, Path]) -> Iterator[str]:
    right = certificates["right"]
    pair = (right.with_suffix(".key").read_bytes(), right.read_bytes())
    with serving(Terse(), grpc.ssl_server_credentials([pair])) as url:
        yield url


def test_a_terse_server_is_measured_and_each_missing_part_has_its_reason() -> None:
    with serving(Terse()) as url, attached(url) as target:
        assert target.contract is None
        assert target.deployment.not_available.keys() == {
            "server_metadata",
            "model_metadata",
            "model_configuration:ensemble",
            "model_configuration:tensorrt_llm",
        }
        assert "UNIMPLEMENTED" in target.deployment.not_available["model_metadata"]
        assert target.deployment.token_count_source == "chunks"
        assert target.check_alive() is None


def test_a_refused_question_about_the_server_is_a_missing_part_and_no_end() -> None:
    with serving(Grudging()) as url, attached(url) as target:
        assert "PERMISSION_DENIED: not for you" in target.deployment.not_available["model_metadata"]
        assert "no such route" in target.deployment.not_available["model_configuration:ensemble"]


def test_a_server_that_goes_away_is_noticed() -> None:
    with contextlib.ExitStack() as server:
        url = server.enter_context(serving(Terse()))
        with attached(url) as target:
            server.close()
            assert "connection refused" in (target.check_alive() or "")


def test_an_unknown_model_is_said_even_when_the_server_lists_none() -> None:
    with serving(Terse()) as url:
        assert "has no model 'other'; it does not list its models" in refusal(url, model="other").message


def test_a_dead_port_is_said_with_the_usual_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    error = refusal(f"127.0.0.1:{port}")
    assert "nothing listens there (connection refused)" in error.message
    assert "8001" in (error.hint or "")


def test_a_host_that_does_not_exist_is_said() -> None:
    assert "cannot be resolved" in refusal("no-such-host.invalid:8001").message


def test_a_port_that_accepts_and_stays_silent_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refusal(f"127.0.0.1:{silent.getsockname()[1]}")
    assert "does not answer as a Triton server (DEADLINE_EXCEEDED" in error.message


def test_another_grpc_service_is_no_triton() -> None:
    with serving(None) as url:
        assert "answers gRPC but is no Triton server" in refusal(url).message


def test_refused_credentials_are_said_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "wrong-secret")
    with serving(Locked()) as url:
        error = refusal(url, headers={"x-api-key": "${KEY}"})
    assert "refuses the credentials (UNAUTHENTICATED: no key, no entry)" in error.message
    assert "x-api-key" in (error.hint or "")
    assert "wrong-secret" not in str(error)


def test_the_right_credentials_open_the_door_and_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "right")
    with serving(Locked()) as url, attached(url, headers={"x-api-key": "${KEY}"}) as target:
        assert target.endpoint.headers == {"x-api-key": "right"}
        assert "right" not in repr(target.deployment)


def test_the_right_authority_and_name_are_trusted(tls_url: str, certificates: dict[str, Path]) -> None:
    with attached(tls_url, tls=Tls(ca_file=certificates["right"], server_name=NAME)) as target:
        assert "model_ready" not in target.deployment.not_available


def test_a_wrong_authority_is_said(tls_url: str, certificates: dict[str, Path]) -> None:
    error = refusal(tls_url, tls=Tls(ca_file=certificates["wrong"], server_name=NAME))
    assert "certificate is not trusted" in error.message
    assert "ca_file" in (error.hint or "")


def test_a_wrong_name_is_said(tls_url: str, certificates: dict[str, Path]) -> None:
    error = refusal(tls_url, tls=Tls(ca_file=certificates["right"]))
    assert "certificate is not valid for '127.0.0.1'" in error.message


def test_plain_text_towards_tls_is_said(tls_url: str) -> None:
    assert "if the server wants TLS, add tls" in (refusal(tls_url).hint or "")


def test_tls_towards_plain_text_is_said(certificates: dict[str, Path]) -> None:
    with serving(Terse()) as url:
        error = refusal(url, tls=Tls(ca_file=certificates["right"], server_name=NAME))
    assert "the TLS handshake failed" in error.message
    assert "remove tls" in (error.hint or "")


def test_a_file_that_is_no_certificate_is_named(tls_url: str, certificates: dict[str, Path]) -> None:
    key = certificates["right"].with_suffix(".key")
    assert str(key) in refusal(tls_url, tls=Tls(ca_file=key)).message
