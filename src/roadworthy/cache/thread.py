"""Plain functions as sources: each call in a thread of its own, which a hanging one does not keep from the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """Return what `call` returns in a new thread, in a copy of the context; a cancelled wait leaves it to end alone.

    No pool: a source that asks for another cached value waits for a second thread while it holds the first.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def settle(value: T | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(value)  # type: ignore[arg-type]  # without an error it is what was returned

    def run() -> None:
        value: T | None = None
        error: BaseException | None = None
        try:
            value = context.run(call)
        except StopIteration as stopped:
            error = RuntimeError(f"the source raised {stopped!r}")
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(settle, value, error)
        except RuntimeError:
            # The loop is over, and nobody waits.
            return

    threading.Thread(target=run, name="cache source", daemon=True).start()
    return await ended
