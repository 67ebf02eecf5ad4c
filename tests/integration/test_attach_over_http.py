"""Attaching over HTTP/1.1: what a server tells of itself, and one clear sentence where it cannot be measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import certificates
import pytest

from harness.errors import TargetNotReady
from harness.scenario.surroundings import Surroundings
from harness.scenario.target import Attach, AttachTarget, Tls
from harness.target.opened import OpenTarget, open_target
from harness.truth import process
from harness.truth.behaviour import Behaviour
from harness.truth.process import TruthProcess

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TruthProcess]:
    with process.start(Behaviour(), tmp_path_factory.mktemp("truth") / "log") as server:
        yield server


def _open(url: str, protocol: str = "triton_http", **more: object) -> OpenTarget:
    around = Surroundings(Path.cwd(), {"KEY": "s3cret"})
    attach = Attach.model_validate({"url": url, "protocol": protocol} | more, context=around)
    with open_target(AttachTarget(attach=attach), progress=lambda _: None) as target:
        return target


def test_tritons_metadata_and_configuration_are_read(server: TruthProcess) -> None:
    target = _open(server.http_address)
    assert target.contract is not None
    assert target.contract.inputs["max_tokens"].datatype == "INT32"
    assert target.contract.inputs["text_input"].shape == (-1, 1)
    assert target.deployment.server["configurations"]["ensemble"]["max_batch_size"] == 64
    assert (target.deployment.protocol, target.deployment.token_count_source) == ("triton_http", "server")
    assert target.check_alive() is None


def test_an_openai_server_tells_its_version_and_counts_tokens(server: TruthProcess) -> None:
    target = _open(server.http_address, "openai_chat")
    assert target.deployment.server["version"] == "1.2.1"
    assert target.deployment.token_count_source == "server"
    assert "model_metadata" in target.deployment.not_available


@pytest.mark.parametrize(
    ("protocol", "model", "text"),
    [
        ("triton_http", "ensembel", "model 'ensembel' is not ready"),
        ("openai_chat", "ensembel", "did you mean 'ensemble'"),
    ],
)
def test_a_model_that_is_not_there_is_named(server: TruthProcess, protocol: str, model: str, text: str) -> None:
    with pytest.raises(TargetNotReady) as caught:
        _open(server.http_address, protocol, model=model)
    assert text in f"{caught.value}"


def test_a_grpc_port_is_told_from_an_http_port(server: TruthProcess) -> None:
    with pytest.raises(TargetNotReady, match=r"HTTP/1\.1"):
        _open(server.address)


def test_a_port_where_nobody_listens_is_refused() -> None:
    with pytest.raises(TargetNotReady, match="nothing listens there"):
        _open("127.0.0.1:1")


@pytest.mark.skipif(certificates.MISSING, reason=certificates.WHY_SKIPPED)
def test_a_gateway_is_reached_with_tls_key_and_base_path(tmp_path: Path) -> None:
    certificate, key = certificates.self_signed(tmp_path, "server.test")
    behaviour = Behaviour(required_key="s3cret", http_base_path="/team")
    with process.start(behaviour, tmp_path / "log", tls_certificate=certificate, tls_key=key) as server:
        url, tls = f"{server.http_address}/team", Tls(ca_file=certificate)
        headers = {"authorization": "Bearer ${KEY}"}
        assert _open(url, "openai_completions", headers=headers, tls=tls).contract is None
        named = Tls(ca_file=certificate, server_name="localhost")
        assert _open(url, headers=headers, tls=named).contract is not None
        with pytest.raises(TargetNotReady, match="refuses the credentials"):
            _open(url, "openai_chat", headers={"x-api-key": "wrong ${KEY}"}, tls=tls)


def test_a_path_needs_a_protocol_over_http() -> None:
    with pytest.raises(ValueError, match="gRPC has no path"):
        Attach(url="gateway:443/team")
