"""Who accepts a run, when, at which commit: from git and the system."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
from datetime import UTC, datetime

GIT_S = 10.0


def person() -> str:
    """git's user, else $USER, else the name of the account."""
    named = _git("config", "user.name") or os.environ.get("USER")
    if named:
        return named
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return "unknown"


def now() -> str:
    """The instant in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def commit() -> str | None:
    """The commit of the working folder, with `+changes` where tracked files differ from it; None outside of git."""
    at = _git("rev-parse", "HEAD")
    if not at:
        return None
    return f"{at}+changes" if _git("status", "--porcelain", "--untracked-files=no") else at


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
