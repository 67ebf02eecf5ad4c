"""The real perf_analyzer for tests: found or fetched once; without a network the tests are skipped, with the reason."""

from __future__ import annotations

import functools

import pytest

from harness.drivers.perf_analyzer import install
from harness.errors import UsageError


@functools.cache
def _tool() -> install.Tool | str:
    try:
        return install.install(lambda line: None)
    except UsageError as error:
        return f"no perf_analyzer here: {error.message}"


def tool_or_skip() -> install.Tool:
    """The tool."""
    found = _tool()
    if isinstance(found, str):
        pytest.skip(found)
    return found
