"""How far a running job has got, written at most once a second, and once more at its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from roadworthy.errors import DatabaseUnavailable
from roadworthy.telemetry.logging import get_logger

if TYPE_CHECKING:
    from roadworthy.jobs.flows import Flows

log = get_logger(__name__)

_INTERVAL = 1.0
_LONGEST_NOTE = 1_000
_CLOSED_WITHIN = 2.0


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """`done` of `total`, in whatever unit the job counts in, and a note for people."""

    done: float
    total: float | None = None
    note: str | None = None


class Reporter:
    """Writes the progress of one attempt. The latest report counts; one that is never written was overtaken."""

    def __init__(
        self,
        flows: Flows,
        loop: asyncio.AbstractEventLoop,
        id: int,
        lease: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`id` and `lease` name the holding; `clock` counts seconds monotonically."""
        self._flows = flows
        self._loop = loop
        self._holding = (id, lease)
        self._clock = clock
        self._latest: Progress | None = None
        self._written_at = -_INTERVAL
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def report(self, progress: Progress) -> None:
        """Have `progress` written soon. Returns at once, in any thread."""
        if progress.note is not None and len(progress.note) > _LONGEST_NOTE:
            raise ValueError(f"the note has {len(progress.note)} characters; write at most {_LONGEST_NOTE}")
        self._latest = progress
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        if self._latest is not None and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._write())

    async def _write(self) -> None:
        while (progress := self._latest) is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(self._written_at + _INTERVAL - self._clock(), 0.0)):
                    await self._closing.wait()
            progress, self._latest = self._latest or progress, None
            self._written_at = self._clock()
            try:
                await self._flows.progress(*self._holding, msgspec.json.encode(progress))
            except DatabaseUnavailable as error:
                log.warning("cannot write a job's progress", job_id=self._holding[0], reason=str(error))

    async def close(self) -> None:
        """Write what has not been written yet; give up after two seconds."""
        self._closing.set()
        self._begin()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSED_WITHIN)
            self._task.cancel()
