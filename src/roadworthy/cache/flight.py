"""Single flight: what one caller asks for, all others wait for, and none of them can harm.

The loading runs in a task of its own, so that no caller's cancellation reaches it. When all callers are gone it still
ends, and its result is kept: most of the work is done by then, whoever asked is likely to ask again, and until it has
ended no second one begins for the same key. Only the limit on a loading and the end of the service cut it short.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from roadworthy.errors import SourceCancelled

T = TypeVar("T")


class Flight(Generic[T]):
    """One loading under way. `stamp` is when it began to ask the source, None as long as it has not."""

    def __init__(self) -> None:
        """Wait for `begin`."""
        self.stamp: int | None = None
        self._ended: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        # An error that no caller is left to hear of is none for the loop to complain about.
        self._ended.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())

    @property
    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._ended.done()

    @property
    def error(self) -> BaseException | None:
        """What it failed with; None where it did not, or has not ended."""
        ended = self._ended
        return ended.exception() if ended.done() and not ended.cancelled() else None

    def when_done(self, call: Callable[[], object]) -> None:
        """Call `call` soon after the end."""
        self._ended.add_done_callback(lambda _: call())

    def land(self, result: T) -> None:
        """Give all callers this result."""
        if not self._ended.done():
            self._ended.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Give all callers this error."""
        if not self._ended.done():
            if isinstance(error, asyncio.CancelledError):
                error = SourceCancelled("the loading of a cached value was cancelled; ask again")
            self._ended.set_exception(error)

    async def run(self, work: Coroutine[Any, Any, T]) -> None:
        """Await `work`, and give its outcome to all callers."""
        try:
            result = await work
        except asyncio.CancelledError as error:
            self.fail(error)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        except BaseException as error:
            self.fail(error)
            if not isinstance(error, Exception):
                raise
        else:
            self.land(result)

    async def wait(self, timeout: float | None) -> bool:
        """Wait for the end, for `timeout` seconds at most; return whether it has come."""
        if not self._ended.done():
            await asyncio.wait([self._ended], timeout=timeout)
        return self._ended.done()

    def result(self) -> T:
        """Return the result, or raise the error, of a flight that is done."""
        return self._ended.result()
