"""Outages of a shared store: who has waited once for a store that is gone makes nobody else wait.

An outage begins at the first time-out or lost connection: those who wait then fail together, and everybody after them
at once. One probe at a time, after waits that grow, ends it. A store that answers, if only to refuse, has none.
"""

from __future__ import annotations

import asyncio
import random as randomness
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

from roadworthy.telemetry.logging import get_logger
from roadworthy.waits import growing_waits

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_LATE = 0.005
"""Seconds by which a time-out that is noticed late is noticed after the event loop was held up."""


class StoreDown(Exception):
    """A shared store did not answer in time, refused, or is not asked at present; whether it did anything is open."""


class StoreRefused(StoreDown):
    """A shared store answered, and refused this one thing: it is full, say, or takes no writes. Others may work."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether the store is asked (closed) or not (open), since when (Unix time in seconds), and what opened it."""

    open: bool
    since: float
    why: str | None = None


class Outages:
    """Asks a store only while it answers; `why` is None then. It belongs to one event loop."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[object]],
        *,
        store: str = "shared store",
        timeout: float | None = None,
        changed: Callable[[Condition], None] = lambda _: None,
        first_wait: float = 0.1,
        longest_wait: float = 5.0,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = randomness.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`probe` asks the `store`, by that name in the log, for anything; `changed` is told of beginning and end.

        `timeout` bounds each call in seconds; without it, the store has to do that itself. Before the probes pass
        `first_wait` seconds, then twice that, up to `longest_wait`, less a random half at most. A store that fails
        again within `longest_wait` goes on where the waits were. `clock` counts Unix time in seconds, `random` draws
        from 0 up to 1, `sleep` waits for seconds.
        """
        self._store_probe = probe
        self._store = store
        self._timeout = timeout
        self._changed = changed
        self._first, self._longest = first_wait, longest_wait
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._waits = growing_waits(first_wait, longest_wait, random)
        # Since when each waits, the one who does so for longest first.
        self._waiting: dict[asyncio.Task[object], float] = {}
        # Whom the beginning of an outage has cancelled.
        self._failed: set[asyncio.Task[object]] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._spared: asyncio.Task[object] | None = None
        self._probing: asyncio.Task[None] | None = None
        self.why: str | None = None
        self.condition = Condition(False, clock())

    async def ask(self, call: Callable[P, Awaitable[T]], *arguments: P.args, **options: P.kwargs) -> T:
        """Make a call to the store. Raises StoreDown, during an outage at once."""
        if self.why is not None:
            raise StoreDown(self.why)
        task = cast(asyncio.Task[object], asyncio.current_task())
        self._waiting[task] = 0.0 if self._timeout is None else self._watched(self._timeout)
        try:
            return await call(*arguments, **options)
        except StoreDown as error:
            self._waiting.pop(task, None)
            self.note(error)
            raise
        except asyncio.CancelledError:
            if task in self._failed and task.cancelling() == 1:
                raise StoreDown(self.condition.why or "the store did not answer") from None
            raise
        finally:
            self._waiting.pop(task, None)
            if task in self._failed:
                self._failed.discard(task)
                task.uncancel()

    def note(self, error: StoreDown) -> None:
        """Take notice of what a call raised that was not made through `ask`."""
        if self.why is not None or isinstance(error, StoreRefused):
            return
        why, now = str(error), self._clock()
        if now - self.condition.since > self._longest:
            self._waits = growing_waits(self._first, self._longest, self._random)
        self.why = why
        self.condition = Condition(True, now, why)
        for task in self._waiting:
            if not task.cancelling():
                self._failed.add(task)
                task.cancel()
        self._probing = asyncio.get_running_loop().create_task(self._probe_until_answered(), name="store probe")
        log.warning(f"the {self._store} is not asked until it answers again", reason=why)
        self._changed(self.condition)

    async def close(self) -> None:
        """Stop probing."""
        if self._watch is not None:
            self._watch.cancel()
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()
            await asyncio.wait([probing], timeout=1)

    def _watched(self, timeout: float) -> float:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._watch is None:
            self._watch = loop.call_at(now + timeout, self._look, timeout, now + timeout)
        return now

    def _look(self, timeout: float, expected: float) -> None:
        self._watch = None
        if not self._waiting or self.why is not None:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        task, since = next(iter(self._waiting.items()))
        due = since + timeout
        if now >= due:
            if now - expected <= _LATE or self._spared is task:
                self.note(StoreDown(f"no answer within {timeout:g} s"))
                return
            # The loop was held up, or the process stopped: the answer may be here and not handed over yet.
            self._spared = task
            due = now + _LATE
        self._watch = loop.call_at(due, self._look, timeout, due)

    async def _probe_until_answered(self) -> None:
        while True:
            await self._sleep(next(self._waits))
            try:
                await self._store_probe()
            except StoreRefused:
                break
            except StoreDown as error:
                self.why = str(error)
            except Exception:
                log.exception(f"the {self._store} could not be probed")
            else:
                break
        opened = self.condition.since
        self.why, self._probing = None, None
        self.condition = Condition(False, self._clock())
        log.info(f"the {self._store} answers again", seconds=round(self.condition.since - opened, 3))
        self._changed(self.condition)
