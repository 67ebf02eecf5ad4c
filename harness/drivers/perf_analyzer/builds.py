"""Which perf_analyzer binary runs on this host. A pure table; fetching is `install`'s work.

NVIDIA ships the binary inside the `tritonclient` wheels up to 2.60.0. What a build needs was read from its ELF header
(version needs) and by running it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import UsageError


@dataclass(frozen=True)
class Build:
    """One release of `tritonclient` with a perf_analyzer in its wheel."""

    version: str
    glibc: tuple[int, int]  # oldest C library it starts on
    sha256: str  # of the wheel
    borrowed: tuple[str, ...]  # libraries it is linked to that no C library or Debian base brings


BUILDS = (
    Build("2.60.0", (2, 38), "778ef1561092be6b3ef65a4b0f2f3c641263703ac0f43ddf4a172c5a9bfb8cd7", ()),
    Build(
        "2.51.0",
        (2, 34),
        "c485bb0123bdf310f90bc8b03d3489b28df2ffed55b30c7eee0b795b48113d52",
        ("libcudart.so.12", "libb64.so.0d"),
    ),
)
"""Newest first."""


def choose(library: str, version: str, machine: str) -> Build:
    """The newest build for a host: `platform.libc_ver()` and `platform.machine()`. Raises UsageError for none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if library != "glibc" or found is None or machine != "x86_64":
        raise UsageError(
            f"no perf_analyzer is published for {machine} with {library or 'an unknown C library'} {version}".rstrip(),
            hint="it needs Linux on x86_64 with glibc; put one that you built yourself on the PATH",
        )
    here = int(found[1]), int(found[2])
    for build in BUILDS:
        if here >= build.glibc:
            return build
    oldest = BUILDS[-1]
    raise UsageError(
        f"perf_analyzer {oldest.version} needs glibc {oldest.glibc[0]}.{oldest.glibc[1]}, this host has {version}",
        hint="run it in a newer system, e.g. Debian 12 or Ubuntu 22.04",
    )
