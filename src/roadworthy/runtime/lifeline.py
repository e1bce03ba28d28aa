"""No process outlives its supervisor, whatever kills that one.

Each child holds the read end of a pipe whose write end only the supervisor has, so the kernel tells it of the
supervisor's end by end-of-file, everywhere. On Linux the kernel sends a signal as well (`PR_SET_PDEATHSIG`), which also
reaches a child that has not come as far as reading.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

ORPHANED = 70
"""The exit code of a process that outlived its supervisor and its own grace."""

_PR_SET_PDEATHSIG = 1


def hold(descriptor: int, lost: Callable[[], None], grace: timedelta) -> None:
    """Watch the pipe in a thread: at end-of-file call `lost` there, and end the process at the latest after `grace`.

    A thread sees it while the event loop is busy or not yet running.
    """

    def watch() -> None:
        os.read(descriptor, 1)
        lost()
        time.sleep(grace.total_seconds())
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def die_with_parent(parent: int) -> None:
    """Have Linux send SIGTERM when the process `parent` ends; exit at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ORPHANED)
