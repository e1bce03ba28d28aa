"""SIGTERM, Ctrl-C and a closed terminal ask for a drain; the second of them ends it at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

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

    async def interrupting(self, work: Coroutine[Any, Any, bool], interruptible: Callable[[], bool]) -> bool:
        """Return what `work` returns; where the signal comes while it is interruptible, cancel it and return True."""
        working = asyncio.create_task(work)
        signalled = asyncio.create_task(self.requested.wait())
        try:
            await asyncio.wait([working, signalled], return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and interruptible():
                working.cancel()
                await asyncio.wait([working])
                return True if working.cancelled() else working.result()
            return await working
        finally:
            signalled.cancel()
            working.cancel()


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
