"""Which binary is fetched for which host."""

from __future__ import annotations

import pytest

from harness.drivers.perf_analyzer.builds import BUILDS, choose
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("glibc", "version"), [("2.34", "2.51.0"), ("2.36", "2.51.0"), ("2.38", "2.60.0"), ("2.41", "2.60.0")]
)
def test_the_newest_build_that_starts_on_the_host_is_chosen(glibc: str, version: str) -> None:
    assert choose("glibc", glibc, "x86_64").version == version


@pytest.mark.parametrize(
    ("library", "version", "machine"), [("glibc", "2.31", "x86_64"), ("", "", "x86_64"), ("glibc", "2.38", "aarch64")]
)
def test_a_host_without_a_build_is_told_so(library: str, version: str, machine: str) -> None:
    with pytest.raises(UsageError, match="perf_analyzer"):
        choose(library, version, machine)


def test_every_build_is_pinned_by_a_hash() -> None:
    assert all(len(build.sha256) == 64 for build in BUILDS)
