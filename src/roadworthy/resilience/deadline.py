"""Deadlines: until when a caller waits, known to everything that is called for it.

The moment is kept in a context variable, which tasks and threads that are started for the call inherit. Towards other
services it goes as what is left of it, in milliseconds, so that no two clocks have to agree.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from datetime import timedelta
from types import TracebackType
from typing import Final, ParamSpec, TypeVar

from roadworthy.errors import DeadlineExceeded

P = ParamSpec("P")
T = TypeVar("T")

DEADLINE: ContextVar[float] = ContextVar("roadworthy_deadline", default=math.inf)
"""The moment when nobody waits any more, in seconds of `time.monotonic`."""

HEADER: Final = "x-request-timeout-ms"
"""The milliseconds that the caller still waits for, as a whole number."""

_LONGEST_MS: Final = 86_400_000
_FAIR: Final = 0.2
_EARLY: Final = 0.001


class CutShort(DeadlineExceeded):
    """The caller's deadline left the call less than a fifth of its own time-out: that tells nothing of who was called.

    What was given more and did not answer counts as failed, or callers that wait for less than the time-out would hide
    a dependency that hangs.
    """


def time_left() -> timedelta | None:
    """Return how long the caller still waits, 0 where that is over; None where there is no deadline."""
    left = remaining()
    return None if left == math.inf else timedelta(seconds=max(left, 0.0))


def remaining() -> float:
    """Return how many seconds are left until the deadline: infinity without one, less than 0 when it is past."""
    return DEADLINE.get() - time.monotonic()


def deadline_headers() -> dict[str, str]:
    """Return the headers that tell another service how long it will be waited for; none where there is no deadline."""
    left = remaining()
    if left == math.inf:
        return {}
    return {HEADER: str(max(int(left * 1000), 0))}


def read_header(value: str) -> float | None:
    """Return the seconds that a caller says it waits for, a day at most; None for what is no whole number."""
    if not value.isascii() or not value.isdigit() or len(value) > 12:
        return None
    return min(int(value), _LONGEST_MS) / 1000


def heed(header: bytes | None) -> None:
    """Take over the deadline that a caller's header says, for the rest of this context; an earlier one stays."""
    if header is not None and (seconds := read_header(header.decode("latin-1"))) is not None:
        DEADLINE.set(min(time.monotonic() + seconds, DEADLINE.get()))


class Limited:
    """A call that is to end in time: a `with` around it, on the event loop.

    Its meaning is that of `asyncio.timeout`: the task is cancelled at the deadline, and the cancellation, if it comes
    out of the block and nobody else asked for one, becomes the error.
    """

    __slots__ = ("_alarm", "_cancelling", "_given", "_task", "_timer", "_token", "fired", "until")

    def __init__(self, alarm: Alarm, task: asyncio.Task[object], until: float, given: float) -> None:
        self._alarm = alarm
        self._task = task
        self._cancelling = task.cancelling()
        self._timer: asyncio.TimerHandle | None = None
        self._token: Token[float] | None = None
        self._given = given
        self.until = until
        self.fired = False

    def __enter__(self) -> Limited:
        self._token = DEADLINE.set(self.until)
        if self._given < self._alarm.seconds:
            self._timer = self._alarm.loop.call_later(self._given, self.fire)
        else:
            self._alarm.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            DEADLINE.reset(self._token)
        if self._timer is not None:
            self._timer.cancel()
        elif not self.fired:
            self._alarm.remove(self)
        if self.fired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._alarm.exceeded(self._given) from error

    def fire(self) -> None:
        """End the block: its time is over."""
        self.fired = True
        self._task.cancel()


class Alarm:
    """Time-outs of one length: they end in the order in which they began, so that one timer of the loop serves all."""

    __slots__ = ("_clock", "_dependency", "_limited", "_timer", "loop", "seconds")

    def __init__(
        self,
        dependency: str,
        seconds: float,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bound calls of `dependency` to `seconds` each; a loop has to run."""
        self._dependency = dependency
        self._clock = clock
        self._limited: dict[Limited, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.seconds = seconds
        self.loop = loop or asyncio.get_running_loop()

    def limited(self) -> Limited:
        """Return the `with` for one call; raise DeadlineExceeded where the caller's own deadline is past."""
        now = self._clock()
        given = self.seconds
        until = now + given
        outer = DEADLINE.get()
        if outer < until:
            until, given = outer, outer - now
            if given <= 0:
                raise past(self._dependency)
        task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError(f"dependency {self._dependency!r} was called outside a task")
        return Limited(self, task, until, given)

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an asynchronous function, and return what it returns.

        Raises:
            DeadlineExceeded: it did not end in time, or the caller's deadline was past before.
            Exception: whatever the function raised.
        """
        with self.limited():
            return await function(*args, **kwargs)

    def exceeded(self, given: float) -> DeadlineExceeded:
        """Return the error of a call that was given so many seconds."""
        message = f"dependency {self._dependency!r} did not answer within {given:.3g} s"
        if given >= self.seconds:
            return DeadlineExceeded(message, self._dependency)
        kind = DeadlineExceeded if given >= _FAIR * self.seconds else CutShort
        return kind(f"{message}, which is what the deadline left of its {self.seconds:g} s", self._dependency)

    def add(self, limited: Limited) -> None:
        """Begin a time-out of the whole length."""
        self._limited[limited] = None
        if self._timer is None:
            self._timer = self.loop.call_later(self.seconds, self._ring)

    def remove(self, limited: Limited) -> None:
        """Forget one that has ended in time. The timer stays: the next one would only start it again."""
        del self._limited[limited]

    def _ring(self) -> None:
        now = self._clock() + _EARLY
        self._timer = None
        for limited in tuple(self._limited):
            if limited.until > now:
                self._timer = self.loop.call_later(limited.until - now + _EARLY, self._ring)
                break
            del self._limited[limited]
            limited.fire()

    def close(self) -> None:
        """Let go of the loop's timer, when nothing is under way any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Total:
    """A deadline for whatever a call comes to, attempts and waits together.

    It has no timer: all that is waited for inside, a place, the next attempt and its answer, keeps to the deadline.
    """

    def __init__(self, dependency: str, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Give calls of `dependency` so many seconds each; without end for infinity, but for their callers'."""
        self._dependency = dependency
        self._seconds = seconds
        self._clock = clock

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call an asynchronous function, and return what it returns.

        Raises:
            CutShort: the caller's deadline is past, so that nothing was called.
            Exception: whatever the function raised.
        """
        now = self._clock()
        outer = DEADLINE.get()
        if outer <= now:
            raise past(self._dependency)
        token = DEADLINE.set(min(now + self._seconds, outer))
        try:
            return await function(*args, **kwargs)
        finally:
            DEADLINE.reset(token)


def past(dependency: str) -> CutShort:
    """Return the error of a call that came when its caller's time was over."""
    return CutShort(f"dependency {dependency!r} was not called: its caller's time was over", dependency)
