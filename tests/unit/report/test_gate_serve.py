"""Verdicts over HTTP, asked by a real client over a real socket."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gate_verdicts import verdicts

from harness.gate import verdict_json
from harness.gate.verdict import Verdict
from harness.report.gate.serve import VerdictServer

GATES = verdicts()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, and beside it what must never be served."""
    above = tmp_path_factory.mktemp("serve")
    for name, gate in GATES.items():
        _written(gate, above / "runs" / name)
    _written(GATES["pass"], above / "runs" / "team a" / "release 1")
    _written(GATES["pass"], above / "secret")
    (above / "runs" / "link").symlink_to(above / "secret")
    (above / "runs" / "unfinished").mkdir()
    (above / "runs" / "damaged").mkdir()
    (above / "runs" / "damaged" / "verdict.json").write_text("{")
    return above / "runs"


def _written(gate: Verdict, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text(verdict_json.gate_json(gate), encoding="utf-8")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[VerdictServer]:
    with VerdictServer(("127.0.0.1", 0), root) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join(10)


def get(server: VerdictServer, path: str, method: str = "GET") -> tuple[int, Any]:
    """Status and JSON, the path sent as it stands here."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest(method, path, skip_host=False)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, json.loads(body) if body and response.status != 501 else None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pass", "pass"),
        ("fail", "fail"),
        ("inconclusive", "inconclusive"),
        ("invalid", "invalid"),
        ("not-comparable", "not_comparable"),
    ],
)
def test_a_verdict_is_answered_where_argo_looks_for_it(server: VerdictServer, name: str, said: str) -> None:
    status, content = get(server, f"/verdicts/{name}")
    assert status == 200
    assert content["result"]["verdict"] == said
    assert content["result"]["sentence"] == GATES[name].sentence
    assert "metrics" not in content["result"]


def test_a_folder_below_a_folder_and_a_name_with_blanks_are_found(server: VerdictServer) -> None:
    assert get(server, "/verdicts/team%20a/release%201/")[0] == 200
    assert get(server, "/verdicts/pass?x=1")[0] == 200


@pytest.mark.parametrize("path", ["/verdicts/unfinished", "/verdicts/nothing", "/verdicts/pass/verdict.json", "/other"])
def test_what_is_not_there_is_404_and_says_so_in_json(server: VerdictServer, path: str) -> None:
    status, content = get(server, path)
    assert status == 404
    assert set(content) == {"error", "hint"}


@pytest.mark.parametrize(
    "path",
    [
        "/verdicts/../secret",
        "/verdicts/..%2fsecret",
        "/verdicts/%2e%2e/secret",
        "/verdicts/pass/../../secret",
        "/verdicts/link",
        "/verdicts/%00",
        "/verdicts/..",
        "/verdicts//etc",
        "/../secret",
        "//secret",
    ],
)
def test_no_path_and_no_link_leads_out_of_the_folder(server: VerdictServer, path: str) -> None:
    status, content = get(server, path)
    assert status in (200, 404)
    assert "result" not in content


def test_an_absolute_path_is_not_served(server: VerdictServer, root: Path) -> None:
    assert get(server, f"/verdicts/{root.parent / 'secret'}")[0] == 404
    assert get(server, f"/verdicts/%2F{root.parent / 'secret'}")[0] == 404


def test_a_damaged_verdict_is_an_error_and_never_a_pass(server: VerdictServer) -> None:
    status, content = get(server, "/verdicts/damaged")
    assert status == 500
    assert "verdict.json" in content["error"]


def test_the_list_names_every_verdict_once_and_leads_to_it(server: VerdictServer) -> None:
    status, content = get(server, "/verdicts")
    assert status == 200
    assert {entry["folder"] for entry in content["verdicts"]} == set(GATES)
    for entry in content["verdicts"]:
        assert get(server, entry["path"])[1]["result"]["verdict"] == entry["verdict"]


def test_health_and_head_and_nothing_else(server: VerdictServer) -> None:
    assert get(server, "/healthz") == (200, {"ok": True})
    assert get(server, "/verdicts/pass", "HEAD") == (200, None)
    assert get(server, "/verdicts/pass", "POST")[0] == 501


def test_many_ask_at_once(server: VerdictServer) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(get(server, "/verdicts/fail")[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [200] * 20
