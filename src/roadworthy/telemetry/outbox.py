"""What is told to somebody else: a bounded queue that never waits, and a thread that sends what is in it.

The thread is the one that a slow, hung or absent receiver holds up. Meanwhile the queue fills, and what no longer fits
is dropped and counted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from roadworthy.telemetry.logging import get_logger

T = TypeVar("T")

_log = get_logger(__name__)

_SILENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.01


@dataclass(slots=True)
class Counts:
    """What became of what was to be sent: it arrived, was not let into the queue or left in it, or was refused."""

    exported: int = 0
    dropped: int = 0
    failed: int = 0


class Outbox(Generic[T]):
    """Sends items in batches, in a thread of its own that the first item starts."""

    def __init__(
        self,
        what: str,
        send: Callable[[list[T]], object],
        *,
        size: int,
        batch: int,
        every: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`what` names the items for people. `send` sends some, or raises; it may take long, and runs in the thread.

        `size` bounds the queue, `batch` what is sent at once; a batch that is not full is sent after `every` seconds.
        """
        self.counts = Counts()
        self._what = what
        self._send = send
        self._size = size
        self._batch = batch
        self._every = every
        self._clock = clock
        self._items: deque[T] = deque()
        self._wake = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._under_way = 0
        self._closing = False
        self._abandoned = False
        self._silent_until = float("-inf")

    def put(self, item: T) -> bool:
        """Have an item sent; False where there is no room for it. Never waits; for any thread."""
        if self._closing or len(self._items) >= self._size:
            self.counts.dropped += 1
            return False
        self._items.append(item)
        if self._thread is None:
            self._start()
        if len(self._items) >= self._batch:
            self._wake.set()
        return True

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._items)

    async def close(self, patience: float = 1.0) -> None:
        """Take no more, and wait for what is left to be sent, for `patience` seconds; the rest counts as dropped."""
        self._closing = True
        thread = self._thread
        if thread is None:
            return
        self._wake.set()
        deadline = self._clock() + patience
        while thread.is_alive() and self._clock() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
        if thread.is_alive():
            self._abandoned = True
            self.counts.dropped += len(self._items) + self._under_way
            self._items.clear()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                # A daemon, since nothing that is told to others may hold up the end of the process.
                self._thread = threading.Thread(target=self._run, name=f"outbox of {self._what}", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._abandoned:
            if not self._closing:
                self._wake.wait(self._every)
                self._wake.clear()
            while self._items and not self._abandoned:
                self._deliver()
            if self._closing and not self._items:
                return

    def _deliver(self) -> None:
        batch: list[T] = []
        while self._items and len(batch) < self._batch:
            batch.append(self._items.popleft())
        self._under_way = len(batch)
        try:
            self._send(batch)
        except Exception as error:
            if not self._abandoned:
                self.counts.failed += len(batch)
                self._complain(error)
        else:
            if not self._abandoned:
                self.counts.exported += len(batch)
        self._under_way = 0

    def _complain(self, error: Exception) -> None:
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + _SILENCE_SECONDS
            _log.warning(f"{self._what} could not be delivered", reason=str(error) or type(error).__name__)
