"""The checks of a process, run together, each within its time-out, once however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from roadworthy.duration import seconds
from roadworthy.health.policy import HealthState, Reading, Result, Status, document, overall, readiness
from roadworthy.health.spec import Check
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.masking import mask_urls

_log = get_logger(__name__)


class Health:
    """The health of a process: its own state, and its checks, whose results are kept for a short while."""

    def __init__(
        self,
        state: Callable[[], HealthState],
        checks: Sequence[Check] = (),
        *,
        service: str = "",
        version: str = "",
        fresh_for: timedelta = seconds(2),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`state` tells the process's own state; `clock` (seconds, rising) measures, `now` (UTC) stamps the report."""
        self._state = state
        self._checks = tuple(checks)
        self._readiness_checks = tuple(check for check in checks if check.readiness)
        self._service = service
        self._version = version
        self._fresh_for = fresh_for.total_seconds()
        self._clock = clock
        self._now = now
        self._kept: dict[str, tuple[float, Result]] = {}
        self._runs: dict[str, asyncio.Task[Sequence[Reading]]] = {}
        self._failing: set[str] = set()
        self._turn = asyncio.Lock()

    def started(self) -> Status:
        """Return `pass` once the startup is over."""
        return "pass" if self._state().started else "fail"

    async def ready(self) -> Status:
        """Return whether requests should be sent here."""
        state = self._state()
        if not self._readiness_checks or not state.started or state.draining:
            return readiness(state, ())
        return readiness(state, await self._results(self._readiness_checks))

    async def status(self) -> Status:
        """Return the status of the whole, without its details."""
        return overall(await self._results(self._checks))

    async def report(self) -> Mapping[str, Any]:
        """Return the whole as a health+json object."""
        results = await self._results(self._checks)
        return document(overall(results), results, service=self._service, version=self._version)

    async def _results(self, checks: Sequence[Check]) -> list[Result]:
        """Return a result of each check, running together those that have no fresh one.

        Whoever comes while checks run waits for their results instead of running them again.
        """
        stale = self._stale(checks)
        if stale:
            async with self._turn:
                stale = self._stale(checks)
                async with asyncio.TaskGroup() as group:
                    running = [group.create_task(self._run(check)) for check in stale]
                for task in running:
                    result = task.result()
                    self._kept[result.name] = (self._clock(), result)
        return [self._kept[check.name][1] for check in checks]

    def _stale(self, checks: Sequence[Check]) -> list[Check]:
        oldest = self._clock() - self._fresh_for
        return [check for check in checks if check.name not in self._kept or self._kept[check.name][0] < oldest]

    async def _run(self, check: Check) -> Result:
        began = self._clock()
        failure: str | None = None
        try:
            readings = tuple(await self._answer(check))
        except Exception as error:
            late = isinstance(error, TimeoutError) and not str(error)
            failure = (
                f"no answer within {check.timeout.total_seconds():g} s"
                if late
                else mask_urls(f"{type(error).__name__}: {error}")
            )
            readings = (Reading(check.name, "fail", output=failure),)
        self._note(check, failure)
        return Result(check.name, readings, self._now(), self._clock() - began, check.critical, check.readiness)

    async def _answer(self, check: Check) -> Sequence[Reading]:
        """Return what the check observed; raise what it raised, or TimeoutError.

        What a hung server keeps from ending, though it was cancelled, holds up no report: it is left behind, and until
        it has ended the check is not begun again.
        """
        run = self._runs.get(check.name)
        if run is None or run.done():
            run = self._runs[check.name] = asyncio.create_task(_observe(check), name=f"check {check.name}")
            run.add_done_callback(_retrieve)
        done, _ = await asyncio.wait([run], timeout=check.timeout.total_seconds())
        if not done or run.cancelled():
            raise TimeoutError
        return run.result()

    def _note(self, check: Check, failure: str | None) -> None:
        """Log that a check has begun to fail, or to pass again; in between, whoever asks is told."""
        if failure is None and check.name in self._failing:
            self._failing.discard(check.name)
            _log.info("health check passes again", check=check.name)
        elif failure is not None and check.name not in self._failing:
            self._failing.add(check.name)
            _log.warning("health check fails", check=check.name, reason=failure)


async def _observe(check: Check) -> Sequence[Reading]:
    async with asyncio.timeout(check.timeout.total_seconds()):
        return await check.run()


def _retrieve(run: asyncio.Task[Sequence[Reading]]) -> None:
    # Nobody waits any more for one that was left behind, and asyncio would print its exception.
    if not run.cancelled():
        run.exception()
