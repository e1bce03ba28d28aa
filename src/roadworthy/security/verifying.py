"""Verifying API keys: from memory where that is fresh, else by one reading at a time for all who wait.

A process that is asked about many keys reads them in batches, one after another on one connection, so that neither
traffic nor guessing costs the database more than that. While it is away, keys that were verified lately go on for as
long as is declared; of others nobody can say anything, and nobody waits to hear that.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from roadworthy.outage import StoreDown
from roadworthy.security.key import TAIL_LENGTH, parse
from roadworthy.security.keys_spec import ApiKeysSpec
from roadworthy.security.known_keys import Entry, KnownKeys, Row, age_of
from roadworthy.security.presented import ApiKey, Verdict
from roadworthy.telemetry.logging import get_logger

log = get_logger(__name__)

Read = Callable[[Sequence[str]], Awaitable[Mapping[str, Row]]]
Touch = Callable[[Mapping[str, float]], Awaitable[None]]

WAIT_SECONDS = 0.25
"""For how long a request waits for a key to be read."""

TOUCH_SECONDS = 60.0
"""How often it is written when keys were last used."""

_BATCH = 500
_MOST_WAITING = 5_000
_RETRY_SECONDS = 0.25
_MANY_GUESSES = 10
_PAUSE_SECONDS = 0.05
_LAST_TOUCH_SECONDS = 1.0


class Verifier:
    """Verifies the keys of one declaration in one process."""

    def __init__(
        self,
        spec: ApiKeysSpec,
        read: Read,
        touch: Touch,
        *,
        wait: float = WAIT_SECONDS,
        touch_every: float = TOUCH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`read` returns what there is under some ids, `touch` notes how many seconds ago each was last used.

        Both raise StoreDown. `wait` and `touch_every` are in seconds.
        """
        self.spec = spec
        self.outcomes: Counter[str] = Counter()
        self.known = KnownKeys()
        self._read = read
        self._touch = touch
        self._wait = wait
        self._touch_every = touch_every
        self._clock = clock
        self._sleep = sleep
        self._stale = spec.stale.total_seconds()
        self._wanted: dict[str, asyncio.Future[None]] = {}
        self._used: dict[str, float] = {}
        self._reading: asyncio.Task[None] | None = None
        self._touching: asyncio.Task[None] | None = None
        self.failing = False

    def recall(self, text: str) -> Verdict | None:
        """Return what is known of a key without asking anybody, None where that is not enough."""
        entry = self.known.of(text)
        if entry is None:
            return None
        now = self._clock()
        age = age_of(entry, now)
        if age == "old":
            return None
        if not entry.is_of(text):
            return self._counted("malformed" if parse(text, self.spec.prefix) is None else "unknown")
        if age == "renew":
            self._ask(text[:-TAIL_LENGTH])
        return self._judged(entry, now)

    async def verify(self, text: str) -> Verdict:
        """Return what a key is worth: the key where it is in force, else why it is refused."""
        known = self.recall(text)
        if known is not None:
            return known
        key = parse(text, self.spec.prefix)
        if key is None:
            return self._counted("malformed")
        if self.known.is_absent(key.id, self._clock()):
            return self._counted("unknown")
        if len(self._wanted) >= _MOST_WAITING and key.id not in self._wanted:
            return self._without_database(text)
        asked = self._ask(key.id)
        if not self.failing:
            try:
                async with asyncio.timeout(self._wait):
                    await asyncio.shield(asked)
            except TimeoutError:
                self.failing = not asked.done()
        if not asked.done() or self.failing:
            return self._without_database(text)
        entry = self.known.of(text)
        if entry is None or not entry.is_of(text):
            return self._counted("unknown")
        return self._judged(entry, self._clock())

    async def close(self) -> None:
        """Note which keys were used since that was last done, and stop."""
        for task in (self._reading, self._touching):
            if task is not None:
                task.cancel()
                await asyncio.wait([task], timeout=_LAST_TOUCH_SECONDS)
        try:
            async with asyncio.timeout(_LAST_TOUCH_SECONDS):
                await self._write_uses()
        except (StoreDown, TimeoutError):
            log.warning("when API keys were last used could not be written", keys=self.spec.name)

    def _counted(self, verdict: Verdict) -> Verdict:
        self.outcomes["accepted" if isinstance(verdict, ApiKey) else verdict] += 1
        return verdict

    def _judged(self, entry: Entry, now: float) -> Verdict:
        verdict = entry.verdict(now)
        if isinstance(verdict, ApiKey):
            self._used[verdict.id] = now
            if self._touching is None:
                self._touching = asyncio.get_running_loop().create_task(self._touch_later())
        return self._counted(verdict)

    def _without_database(self, text: str) -> Verdict:
        """Return what a key is worth by what was read a while ago, where that may be gone by."""
        entry, now = self.known.of(text), self._clock()
        if entry is None or now - entry.asked_at > self._stale or not entry.is_of(text):
            return self._counted("unavailable")
        verdict = entry.verdict(now)
        if isinstance(verdict, ApiKey):
            self.outcomes["stale"] += 1
            return verdict
        return self._counted(verdict)

    def _ask(self, id: str) -> asyncio.Future[None]:
        """Have an id read with the next batch; return what is done once it was, or was tried."""
        loop = asyncio.get_running_loop()
        asked = self._wanted.get(id)
        if asked is None:
            asked = self._wanted[id] = loop.create_future()
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read_all())
        return asked

    async def _read_all(self) -> None:
        """Read what is wanted, batch by batch; while that fails, find out when it no longer does."""
        while self._wanted or self.failing:
            batch = dict(list(self._wanted.items())[:_BATCH])
            for id in batch:
                del self._wanted[id]
            asked_at = self._clock()
            try:
                rows = await self._read(list(batch))
            except StoreDown as error:
                if not self.failing:
                    log.warning("API keys cannot be read; those verified lately go on", reason=str(error))
                self.failing = True
                _resolve(batch)
                await self._sleep(_RETRY_SECONDS)
                continue
            except BaseException:
                _resolve(batch)
                raise
            if self.failing:
                log.info("API keys can be read again", keys=self.spec.name)
            self.failing = False
            self.known.learn(batch, rows, asked_at)
            _resolve(batch)
            if len(batch) - len(rows) > max(_MANY_GUESSES, len(rows)):
                # Somebody guesses: that shall not keep the connection busy.
                await self._sleep(_PAUSE_SECONDS)

    async def _touch_later(self) -> None:
        try:
            await self._sleep(self._touch_every)
            await self._write_uses()
        except StoreDown:
            log.warning("when API keys were last used could not be written", keys=self.spec.name)
        finally:
            self._touching = None

    async def _write_uses(self) -> None:
        used, self._used = self._used, {}
        if used:
            now = self._clock()
            await self._touch({id: max(now - at, 0.0) for id, at in used.items()})


def _resolve(batch: Mapping[str, asyncio.Future[None]]) -> None:
    for asked in batch.values():
        if not asked.done():
            asked.set_result(None)
