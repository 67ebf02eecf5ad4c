"""The key of the cached server environment, and what a child of ours inherits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.target import server_environment
from harness.target.python_runtime import Runtime
from harness.target.server_environment import child_variables, environment_key, find, recorded_bytes

RUNTIME = Runtime("python3.11", "3.11", "/usr", Path("/usr/lib/libpython3.11.so.1.0"))


def test_the_key_changes_with_requirements_and_python_and_with_nothing_else() -> None:
    key = environment_key([b"numpy", b"triton"], RUNTIME)
    assert key == environment_key([b"numpy", b"triton"], dataclasses.replace(RUNTIME, executable="/venv/bin/python"))
    assert key != environment_key([b"numpy<2", b"triton"], RUNTIME)
    assert key != environment_key([b"numpyt", b"riton"], RUNTIME)
    assert key != environment_key([b"numpy", b"triton"], dataclasses.replace(RUNTIME, version="3.12"))
    assert key != environment_key([b"numpy", b"triton"], dataclasses.replace(RUNTIME, prefix="/opt"))


def test_a_child_never_sees_the_packages_of_the_harness() -> None:
    inherited = {"PYTHONPATH": "/harness", "VIRTUAL_ENV": "/harness/.venv", "PYTHONHOME": "/x", "PIP_INDEX_URL": "kept"}
    assert child_variables(inherited) == {"PIP_INDEX_URL": "kept"}


def test_an_environment_counts_only_with_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(server_environment, "find_runtime", lambda: RUNTIME)
    root = server_environment._root(RUNTIME, server_environment.OPENVINO)
    (root / "bin").mkdir(parents=True)
    assert find() is None
    (root / "complete").write_text("123\n")
    environment = find()
    assert environment is not None
    assert recorded_bytes(environment) == 123
    assert environment.site_packages == root / "lib" / "python3.11" / "site-packages"
