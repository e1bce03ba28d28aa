"""Jobs that are plain functions, each in a thread.

The threads are kept for the next jobs, as many as ran at once. They are daemons, because no thread can be ended from
outside: one that hangs must not keep its process from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from roadworthy.bridge import BRIDGE, Bridge
from roadworthy.jobs.current import CurrentJob
from roadworthy.jobs.spec import JobSpec

Ending = tuple[Any, BaseException | None]


class ThreadRunner:
    """Runs plain functions in threads, which carry the context of the task that asked."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._closed = False

    async def run(self, spec: JobSpec, current: CurrentJob, arguments: dict[str, Any]) -> Any:
        """Run the function in a thread; see `Runner.run`.

        When cancelled, whatever the thread awaits by `from_thread` is cancelled, now and from then on.
        """
        loop = asyncio.get_running_loop()
        bridge = Bridge(loop)
        BRIDGE.set(bridge)
        ended: asyncio.Future[Ending] = loop.create_future()
        self._submit(loop, ended, partial(copy_context().run, partial(spec.function, **arguments)))
        while not ended.done():
            try:
                # A cancelled wait leaves the future alone, as the thread leaves the cancellation.
                await asyncio.wait([ended])
            except asyncio.CancelledError:
                bridge.cut()
                if self._closed:
                    raise
        result, error = ended.result()
        if error is not None:
            raise error
        if asyncio.iscoroutine(result):
            result.close()
            raise TypeError(f"job {spec.name!r} returned a coroutine instead of awaiting it; make it an `async def`")
        return result

    async def close(self) -> None:
        """Let the threads end when their calls have; see `Runner.close`."""
        self._closed = True
        for _ in range(self._threads):
            self._calls.put(None)

    def _submit(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[Ending], call: Callable[[], Any]) -> None:
        def settle(ending: Ending) -> None:
            self._idle += 1
            if not ended.done():
                ended.set_result(ending)

        def work() -> None:
            ending: Ending
            try:
                ending = (call(), None)
            except BaseException as error:
                ending = (None, error)
            try:
                loop.call_soon_threadsafe(settle, ending)
            except RuntimeError:
                # The loop is over, and nobody waits.
                return

        if self._idle > 0:
            self._idle -= 1
        else:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"jobs-{self._threads}", daemon=True).start()
        self._calls.put(work)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            # Kept in the frame, it would hold the job's arguments until the next.
            del call
