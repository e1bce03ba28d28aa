"""One check as it is looked at: one look at a time, each within its time, and what the looks have settled on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from roadworthy.health.hysteresis import Hysteresis
from roadworthy.health.policy import Reading, Result, Status
from roadworthy.health.spec import Check
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.masking import mask_urls

_log = get_logger(__name__)

IDLE = 600.0
"""For how many seconds after the last question for it a check is looked at. Monitors that ask every five minutes exist,
and would otherwise never be told but of a look that has only begun."""

MOMENT = 0.05
"""For how many seconds what was seen of something in memory is told to others who ask."""

SOON = 1.0
"""After how many seconds at most it is looked again, where the last look was not as settled."""


class Observer(Protocol):
    """Who is told of looks: the metrics."""

    def looked(self, check: str, latency: float) -> None:
        """A look of the check has taken `latency` seconds."""

    def changed(self, check: str, status: Status) -> None:
        """The check has settled on another status."""


class Watch:
    """The looks of one check."""

    def __init__(self, check: Check, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        """Have seen nothing yet. `clock` (seconds, rising) measures, `now` (UTC) stamps."""
        self.check = check
        self.observer: Observer | None = None
        self._clock = clock
        self._now = now
        self._every = check.every.total_seconds()
        self._timeout = check.timeout.total_seconds()
        self._longest_age = check.longest_age.total_seconds()
        self._told: Status = "pass"
        self.begin(Context())

    def begin(self, context: Context) -> None:
        """Know nothing, and look in copies of `context` from now on: an event loop begins."""
        self._context = context
        self._hysteresis = Hysteresis(self.check.failures, self.check.successes)
        self._shown: Result | None = None
        self._seen_at = 0.0
        self._doubt: str | None = None
        self._looked_at: float | None = None
        self._asked_at = self._clock()
        self._asked = asyncio.Event()
        self._look: asyncio.Task[None] | None = None
        self._run: asyncio.Task[Sequence[Reading]] | None = None

    @property
    def stale(self) -> bool:
        """Whether what was seen is too old to count, or nothing was seen yet."""
        return self._looked_at is None or self._clock() - self._looked_at > self._longest_age

    @property
    def due(self) -> bool:
        """Whether it is time to look again, where that is done by whoever asks."""
        wait = min(max(self._every, MOMENT), SOON)
        return self._looked_at is None or self._clock() - self._looked_at >= wait

    @property
    def status(self) -> Status | None:
        """What the looks have settled on; None while nothing is known."""
        return None if self._shown is None or self.stale or not self._shown.readings else self._shown.status

    @property
    def seen_at(self) -> datetime | None:
        """When what is shown was seen (UTC)."""
        return None if self._shown is None else self._shown.at

    def ask(self) -> None:
        """Say that somebody wants to know, so that looks go on in the background."""
        self._asked_at = self._clock()
        self._asked.set()

    def look(self) -> asyncio.Task[None]:
        """Begin a look, or join the one that is under way; the task ends soon after the check's time-out."""
        if self._look is None or self._look.done():
            name = f"look at {self.check.name}"
            # Whoever asks may be within a transaction, which is no place to look from.
            self._look = asyncio.create_task(self._observe(), name=name, context=self._context.copy())
        return self._look

    def result(self) -> Result:
        """Return what the looks have settled on, with its age. What is too old, or not known yet, is a failure."""
        check, shown, looked_at = self.check, self._shown, self._looked_at
        if shown is None or looked_at is None:
            return self._unknown("has not been looked at yet", self._now(), 0.0)
        age = self._clock() - looked_at
        if age > self._longest_age:
            what = f"was last looked at {age:.0f} s ago, which tells nothing of now"
            return self._unknown(what, shown.at, age)
        age = self._clock() - self._seen_at
        if self._doubt is None:
            return replace(shown, age=age)
        streak = self._hysteresis.streak
        wanted, unit = (check.successes, "successes") if self._hysteresis.failing else (check.failures, "failures")
        doubt = Reading(f"{check.name}:unsettled", "pass", streak, unit, f"{streak} of {wanted}: {self._doubt}")
        return replace(shown, readings=(*shown.readings, doubt), age=age)

    async def keep(self, sleep: Callable[[float], Awaitable[object]], draw: Callable[[], float]) -> None:
        """Look again and again, a tenth earlier or later than `every`, as long as somebody wants to know."""
        while True:
            await asyncio.wait([self.look()])
            pause = self._every * (0.9 + 0.2 * draw())
            await sleep(pause if self._doubt is None else min(pause, SOON))
            if self._clock() - self._asked_at > IDLE:
                self._asked.clear()
                await self._asked.wait()

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Cancel what is under way, and return it."""
        ending: list[asyncio.Task[Any]] = [one for one in (self._look, self._run) if one is not None and not one.done()]
        for task in ending:
            task.cancel()
        return ending

    def _unknown(self, what: str, at: datetime, age: float) -> Result:
        check = self.check
        return Result(
            check.name, (Reading(check.name, "fail", output=what),), at, 0.0, check.critical, check.readiness, age
        )

    async def _observe(self) -> None:
        check, began = self.check, self._clock()
        try:
            readings = tuple(await self._answer())
        except Exception as error:
            late = isinstance(error, TimeoutError) and not str(error)
            failure = f"no answer within {self._timeout:g} s" if late else f"{type(error).__name__}: {error}"
            readings = (Reading(check.name, "fail", output=mask_urls(failure)),)
        latency = self._clock() - began
        self._take(Result(check.name, readings, self._now(), latency, check.critical, check.readiness))

    async def _answer(self) -> Sequence[Reading]:
        """Return what the check observed; raise what it raised, or TimeoutError.

        What a hung server keeps from ending, though it was cancelled, holds up no report: it is left behind, and until
        it has ended the check is not begun again.
        """
        run = self._run
        if run is None or run.done():
            run = self._run = asyncio.create_task(self._bounded(), name=f"check {self.check.name}")
            run.add_done_callback(_retrieve)
        done, _ = await asyncio.wait([run], timeout=self._timeout)
        if not done or run.cancelled():
            raise TimeoutError
        return run.result()

    async def _bounded(self) -> Sequence[Reading]:
        async with asyncio.timeout(self._timeout):
            return await self.check.run()

    def _take(self, result: Result) -> None:
        """Let a look count, at once or as one of several that it takes to change anything."""
        if self.stale:
            self._hysteresis.forget()
        failed = result.status == "fail"
        settled = self._hysteresis.note(failed)
        self._looked_at = self._clock()
        if settled:
            self._shown, self._seen_at, self._doubt = result, self._looked_at, None
        else:
            self._doubt = (_reason(result) if failed else "answers, but that has to last") or "it fails"
        if self.observer is not None:
            self.observer.looked(self.check.name, result.latency)
        if settled and result.status != self._told:
            self._tell(result)

    def _tell(self, result: Result) -> None:
        before, self._told = self._told, result.status
        if result.status == "fail":
            _log.warning("health check fails", check=self.check.name, reason=_reason(result))
        elif before == "fail":
            _log.info("health check passes again", check=self.check.name)
        if self.observer is not None:
            self.observer.changed(self.check.name, result.status)


def _reason(result: Result) -> str:
    return "; ".join(reading.output for reading in result.readings if reading.status == "fail" and reading.output)


def _retrieve(run: asyncio.Task[Sequence[Reading]]) -> None:
    # Nobody waits any more for one that was left behind, and asyncio would print its exception.
    if not run.cancelled():
        run.exception()
