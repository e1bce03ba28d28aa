"""From synchronous code in a thread to the event loop and back: `from_thread`.

A thread finds its loop in a context variable, which workers, ASGI frameworks and `asyncio.to_thread` carry into the
threads that they start. What a coroutine sets in its context is then set in the thread's, so that a transaction entered
by one call is joined by the next.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from contextvars import Context, ContextVar, Token, copy_context
from datetime import timedelta
from typing import Any, TypeVar, overload

from roadworthy.errors import WrongThread

T = TypeVar("T")

BRIDGE: ContextVar[Bridge | None] = ContextVar("roadworthy_bridge", default=None)


class Bridge:
    """The way from threads to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Lead to `loop`."""
        self.loop = loop
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_cut = False

    def cut(self) -> None:
        """Cancel what threads wait for, and whatever they ask for from now on; called on the loop."""
        self._is_cut = True
        for task in tuple(self._tasks):
            task.cancel()

    def wait(self, work: Awaitable[T], timeout: timedelta | None) -> T:
        """Await `work` on the loop, for `timeout` at most, and return its result; called in a thread."""
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        context = copy_context()

        def begin() -> None:
            if self._is_cut:
                result.cancel()
                return
            task = self.loop.create_task(_awaited(work, timeout), context=context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda ended: _settle(result, ended))

        try:
            self.post(begin)
            return result.result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError("the thread's work was cancelled") from None
        finally:
            _close(work)
            _adopt(context)

    @contextmanager
    def entered(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter `manager` on the loop, and leave it there at the end of the block; called in a thread.

        One task does both, as its cancel scopes need. Cutting the bridge does not cancel it: the block ends first.
        """
        entered: concurrent.futures.Future[T] = concurrent.futures.Future()
        left: concurrent.futures.Future[None] = concurrent.futures.Future()
        leave: asyncio.Future[BaseException | None] = self.loop.create_future()
        context = copy_context()

        async def hold() -> None:
            async with manager as value:
                entered.set_result(value)
                if (raised := await leave) is not None:
                    raise raised
            left.set_result(None)

        def ended(task: asyncio.Task[None]) -> None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            for waited in (entered, left):
                if error is not None and not waited.done():
                    waited.set_exception(error)

        def begin() -> None:
            if self._is_cut:
                entered.cancel()
            else:
                self.loop.create_task(hold(), context=context).add_done_callback(ended)

        self.post(begin)
        try:
            value = entered.result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError("the thread's work was cancelled") from None
        tokens = _adopt(context)
        raised: BaseException | None = None
        try:
            yield value
        except BaseException as error:
            raised = error
        self.post(lambda: None if leave.done() else leave.set_result(raised))
        try:
            left.result()
        finally:
            _adopt(context)
            for variable, token in tokens.items():
                if variable not in context:
                    variable.reset(token)

    def post(self, call: Any) -> None:
        """Have the loop call `call` soon."""
        try:
            self.loop.call_soon_threadsafe(call)
        except RuntimeError as error:
            raise WrongThread("from_thread() was called when its event loop was over; end the thread first") from error


@overload
def from_thread(work: Awaitable[T], *, timeout: timedelta | None = None) -> T: ...


@overload
def from_thread(work: AbstractAsyncContextManager[T]) -> AbstractContextManager[T]: ...


def from_thread(
    work: Awaitable[T] | AbstractAsyncContextManager[T], *, timeout: timedelta | None = None
) -> T | AbstractContextManager[T]:
    """Await `work` on the event loop, from synchronous code in another thread, and return its result.

        rows = from_thread(database.fetch("SELECT ..."))
        with from_thread(database.transaction()):
            from_thread(database.execute("..."))

    It works in jobs that are plain functions, in synchronous HTTP handlers, and in what `asyncio.to_thread` runs. After
    `timeout`, the work is cancelled.

    Raises:
        WrongThread: this is the event loop's own thread, or one that knows of none.
        TimeoutError: the work took longer than `timeout`.
        asyncio.CancelledError: the job was cut short meanwhile, or had been before.
    """
    try:
        bridge = _bridge()
    except WrongThread:
        _close(work)
        raise
    if isinstance(work, AbstractAsyncContextManager):
        return bridge.entered(work)
    return bridge.wait(work, timeout)


def _bridge() -> Bridge:
    if asyncio._get_running_loop() is not None:
        raise WrongThread("from_thread() was called on the event loop, which it would block; write `await` instead")
    bridge = BRIDGE.get()
    if bridge is None:
        raise WrongThread(
            "from_thread() was called in a thread that knows of no event loop. Start the thread with "
            "asyncio.to_thread(), or run its function in contextvars.copy_context()"
        )
    return bridge


async def _awaited(work: Awaitable[T], timeout: timedelta | None) -> T:
    if timeout is None:
        return await work
    async with asyncio.timeout(timeout.total_seconds()):
        return await work


def _settle(result: concurrent.futures.Future[T], ended: asyncio.Task[T]) -> None:
    if ended.cancelled():
        result.cancel()
    elif (error := ended.exception()) is not None:
        result.set_exception(error)
    else:
        result.set_result(ended.result())


def _close(work: object) -> None:
    """Have a coroutine that never began not be missed."""
    if isinstance(work, Coroutine):
        work.close()


def _adopt(context: Context) -> dict[ContextVar[Any], Token[Any]]:
    """Set in this thread's context what differs in `context`, and return how to undo it."""
    return {variable: variable.set(value) for variable, value in context.items() if variable.get(_UNSET) is not value}


_UNSET = object()
