"""Tells when the event loop hangs, and where: whoever blocks it stops every job beside it, and the heartbeats."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import FrameType

from roadworthy.telemetry.logging import get_logger

log = get_logger(__name__)

_EVERY = 0.25
_FIRST_WORDS = 1.0
_AGAIN_AFTER = 5.0
_LONGEST_STACK = 30


class Watchdog:
    """A thread that asks the event loop for an answer, four times a second, and says where it hangs after 1 and 5 s.

    Time in which the thread itself did not run, as in a process that is paused, does not count.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        busy_with: Callable[[], Mapping[str, object]],
        longest: timedelta,
        abandon: Callable[[], object] | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch `loop`, within an `async with` on it.

        `busy_with` names what the loop is at, for the log. `abandon` is called once it was blocked for `longest`.
        """
        self._loop = loop
        self._busy_with = busy_with
        self._longest = longest.total_seconds()
        self._abandon = abandon
        self._clock = clock
        self._over = threading.Event()
        self._answered = threading.Event()
        self._watched = 0
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    async def __aenter__(self) -> Watchdog:
        self._watched = threading.get_ident()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        while not self._over.is_set():
            self._answered.clear()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:
                return
            self._await_answer()
            self._over.wait(_EVERY)

    def _await_answer(self) -> None:
        blocked, words_at, began = 0.0, _FIRST_WORDS, self._clock()
        while not self._answered.wait(_EVERY) and not self._over.is_set():
            now = self._clock()
            blocked += min(now - began, 2 * _EVERY)
            began = now
            if blocked >= words_at:
                words_at = _AGAIN_AFTER if words_at < _AGAIN_AFTER else 2 * words_at
                self._tell(blocked)
            if blocked >= self._longest and self._abandon is not None:
                log.critical("the event loop has been blocked for longer than a lease lasts; the process ends")
                self._abandon()
                return

    def _tell(self, blocked: float) -> None:
        frame = sys._current_frames().get(self._watched)
        log.warning(
            "the event loop is blocked: call what waits or computes in a thread or a process",
            seconds=round(blocked, 1),
            stack=_stack(frame),
            **self._busy_with(),
        )


def _stack(frame: FrameType | None) -> str:
    return "".join(traceback.format_stack(frame, limit=_LONGEST_STACK)) if frame is not None else ""
