"""SIGTERM, Ctrl-C and a closed terminal ask for a drain; the second of them ends it at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Stop:
    """`requested` is set by the first signal, `forced` by the second."""

    requested: asyncio.Event = field(default_factory=asyncio.Event)
    forced: asyncio.Event = field(default_factory=asyncio.Event)

    def signal(self) -> None:
        """Count one signal."""
        if self.requested.is_set():
            self.forced.set()
        self.requested.set()


@contextmanager
def stopping() -> Iterator[Stop]:
    """Receive the signals within a `with`, in the main thread of a running event loop."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    # `nohup` has the end of the terminal ignored, and means it.
    heeded = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    for number in heeded:
        loop.add_signal_handler(number, stop.signal)
    try:
        yield stop
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
