"""Run a command that must not outlive the process that asked for it: `tethered.py PARENT_PID COMMAND…`.

A program of its own, started with the plain interpreter; it imports nothing of the harness. It asks the kernel for
SIGTERM at the parent's death (PR_SET_PDEATHSIG survives `exec`) and becomes the command. Done here rather than in
Popen's `preexec_fn`, which may deadlock in a process with threads. The kernel watches the *thread* that started us:
start servers from the main thread, or from one that lives as long as the run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent_pid: int, command: list[str]) -> None:
    """Become the command; exit 1 when the parent is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it died before the line above took effect
        sys.exit(1)
    os.execvpe(command[0], command, os.environ)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
