"""Sends what one CDN is to purge: coalesced, at its pace, again where it failed, and loudly given up in the end."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from roadworthy.edge.api import Answer, Api
from roadworthy.edge.cdn import Cdn
from roadworthy.edge.client import NoResponse
from roadworthy.edge.metrics import Outcome
from roadworthy.edge.pace import Patience, TokenBucket
from roadworthy.edge.purge import Backlog, Batch, Kind, shown
from roadworthy.telemetry import logging

CAPACITY = 10_000
"""How many values may wait before everything is purged instead."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of values: of `kind`, `count` of them, `seconds` after the oldest was asked for."""

    cdn: str
    outcome: Outcome
    count: int
    kind: Kind | None = None
    values: tuple[str, ...] = ()
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Clock, waits and chance of a sender, all of which a test replaces. `window` is in seconds."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    window: float = 0.25
    calls: int = 4
    """How many calls to one CDN are on their way at once."""
    patience: Patience = field(default_factory=Patience)


@dataclass(slots=True, eq=False)
class Watch:
    """Who waits for what was asked for `until` a time, and how much of that was given up."""

    until: float
    failed: int = 0
    reason: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Sender:
    """The one way from this process to one CDN. Everything runs on one event loop."""

    def __init__(
        self,
        cdn: Cdn,
        api: Api,
        ended: Callable[[Ended], None],
        *,
        timing: Timing | None = None,
        capacity: int = CAPACITY,
        references: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        """Send to `api`, and tell `ended` what became of each value; `references` makes the ids of calls."""
        self.cdn = cdn
        self._api = api
        self._ended = ended
        self._timing = timing or Timing()
        self._backlog = Backlog(cdn.sizes, capacity, self._timing.window, references)
        self._bucket = None if cdn.allowance is None else TokenBucket(cdn.allowance, self._timing.clock())
        self._under_way: dict[Batch, None] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._watches: list[Watch] = []
        self._hurry = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = logging.get_logger(__name__)

    def ask(self, values: Iterable[tuple[Kind, str]]) -> None:
        """Take in what is to be purged; it is sent within moments, and never raises."""
        covered, overflowed = self._backlog.add(values, self._timing.clock())
        if overflowed:
            self._log.warning(
                "more was to be purged than can wait; purging everything", cdn=self.cdn.name, covered=covered
            )
        if covered:
            self._tell(Ended(self.cdn.name, "covered", covered))
        self._idle.clear()
        self._wake.set()

    @property
    def waiting(self) -> int:
        """How many values the CDN has yet to accept."""
        return len(self._backlog) + sum(len(batch.values) for batch in self._under_way)

    def watch(self) -> Watch:
        """Return something to wait by for the end of all that was asked for until now."""
        watch = Watch(self._timing.clock())
        self._watches.append(watch)
        if not self.waiting:
            self._release()
        return watch

    async def settled(self) -> None:
        """Wait until nothing is left to send."""
        await self._idle.wait()

    def start(self) -> None:
        """Begin to send, on the running event loop."""
        self._workers = [
            asyncio.create_task(self._work(), name=f"purge {self.cdn.name}") for _ in range(self._timing.calls)
        ]

    async def stop(self, drain: float) -> None:
        """Send what is left, for `drain` seconds at most, and end; what remains is given up."""
        self._hurry = True
        self._wake.set()
        try:
            async with asyncio.timeout(drain):
                await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            for batch in [*self._under_way, *self._backlog.abandon()]:
                self._give_up(batch, "failed", "the process ended before the CDN accepted it")
            self._under_way.clear()
            self._release()

    async def _work(self) -> None:
        while True:
            batch = self._next()
            if batch is None:
                await self._wait()
                continue
            self._under_way[batch] = None
            answer = await self._send(batch)
            del self._under_way[batch]
            self._conclude(batch, answer)
            self._release()

    def _release(self) -> None:
        """Tell those who wait for what has ended now."""
        if not self.waiting:
            self._idle.set()
        times = [batch.asked_at for batch in self._under_way]
        if (oldest := self._backlog.oldest()) is not None:
            times.append(oldest)
        for watch in tuple(self._watches):
            if not times or min(times) > watch.until:
                self._watches.remove(watch)
                watch.ended.set()

    def _next(self) -> Batch | None:
        now = self._timing.clock()
        if self._bucket is not None and self._bucket.ready_at(now) > now:
            return None
        batch = self._backlog.take(now, hurry=self._hurry)
        if batch is not None and self._bucket is not None:
            self._bucket.spend(now)
        return batch

    async def _wait(self) -> None:
        """Wait until there may be something to send."""
        now = self._timing.clock()
        at = self._backlog.next_at(hurry=self._hurry)
        self._wake.clear()
        if at is None:
            await self._wake.wait()
            return
        if self._bucket is not None:
            at = max(at, self._bucket.ready_at(now))
        woken = asyncio.create_task(self._wake.wait())
        slept = asyncio.ensure_future(self._timing.sleep(max(0.0, at - now)))
        try:
            await asyncio.wait((woken, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()

    async def _send(self, batch: Batch) -> Answer:
        if batch.attempts == 0:
            batch.begun_at = self._timing.clock()
        batch.attempts += 1
        try:
            return await self._api.send(batch)
        except NoResponse as error:
            return Answer("later", str(error))
        except Exception as error:
            # A call that we cannot even make must not end those of others.
            self._log.exception("a purge could not be sent", cdn=self.cdn.name)
            return Answer("later", type(error).__name__)

    def _conclude(self, batch: Batch, answer: Answer) -> None:
        now = self._timing.clock()
        match answer.verdict:
            case "accepted":
                self._tell(self._end_of(batch, "succeeded", ""))
            case "invalid" if len(batch.values) > 1:
                self._log.info("a call was refused for some of it; sending halves", **self._about(batch, answer.reason))
                self._backlog.split(batch, now)
                self._wake.set()
            case "invalid" | "denied":
                self._give_up(batch, "refused", answer.reason)
            case "later" | "limited":
                self._repeat(batch, answer, now)

    def _repeat(self, batch: Batch, answer: Answer, now: float) -> None:
        patience = self._timing.patience
        at = now + (answer.after or 0.0) + patience.delay(batch.attempts, self._timing.chance())
        if answer.verdict == "limited":
            # No longer than a call lives, whatever it asks for.
            self._backlog.pause(min(at, now + patience.seconds))
        if batch.attempts >= patience.attempts or at > batch.begun_at + patience.seconds:
            self._give_up(batch, "failed", f"{answer.reason} (attempt {batch.attempts}, the last)")
            return
        self._log.info("a purge will be sent again", seconds=round(at - now, 1), **self._about(batch, answer.reason))
        self._backlog.repeat(batch, at)
        self._wake.set()

    def _give_up(self, batch: Batch, outcome: Outcome, reason: str) -> None:
        self._log.error("a purge was given up; the CDN may serve what is out of date", **self._about(batch, reason))
        for watch in self._watches:
            if batch.asked_at <= watch.until:
                watch.failed += len(batch.values)
                watch.reason = reason
        self._tell(self._end_of(batch, outcome, reason))

    def _tell(self, end: Ended) -> None:
        try:
            self._ended(end)
        except Exception:
            # Whoever counts must not end the sending.
            self._log.exception("the end of a purge could not be told", cdn=self.cdn.name)

    def _end_of(self, batch: Batch, outcome: Outcome, reason: str) -> Ended:
        seconds = self._timing.clock() - batch.asked_at
        return Ended(self.cdn.name, outcome, len(batch.values), batch.kind, batch.values, seconds, reason)

    def _about(self, batch: Batch, reason: str) -> dict[str, object]:
        return {
            "cdn": self.cdn.name,
            "kind": batch.kind,
            "count": len(batch.values),
            "first": [shown(value) for value in batch.values[:_SHOWN]],
            "attempt": batch.attempts,
            "reason": reason,
        }
