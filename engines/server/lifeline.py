"""Nothing outlives its parent: the engine process ends with the stub that started it, a stub ends with tritonserver.

The engine asks the kernel for a signal (PR_SET_PDEATHSIG). A stub cannot: that signal is bound to the *thread* that
started the child, and tritonserver starts its stubs from loader threads that end. So a stub looks at its parent's id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

PR_SET_PDEATHSIG = 1
LOOK_EVERY_S = 0.5


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel for SIGKILL at the parent's death; exits at once if the parent died before we could ask."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os._exit(1)


def exit_when_orphaned(parent_pid: int, every_s: float = LOOK_EVERY_S) -> threading.Thread:
    """Start a thread that ends this process as soon as its parent is no longer `parent_pid`."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(every_s)
        os._exit(1)  # not sys.exit: the main thread sits in native code and would never see it

    thread = threading.Thread(target=watch, name="watch-parent", daemon=True)
    thread.start()
    return thread
