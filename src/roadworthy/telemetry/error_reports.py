"""Errors that nobody handled, told to whoever looks after the code: each once, of many alike a bounded number."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roadworthy.telemetry.logging import CONTEXT
from roadworthy.telemetry.outbox import Outbox
from roadworthy.telemetry.tracing_spec import ErrorReportsSpec

_TOLD = "__roadworthy_told__"
_TAGS = ("request_id", "trace_id", "job_id", "job", "queue", "attempt")


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """An error, the moment of it as Unix time, and short texts by which people find it.

    Of one that is `secret`, the class alone is told: its message and its place may repeat what is encrypted.
    """

    error: BaseException
    moment: float
    tags: Mapping[str, str]
    secret: bool = False


class ErrorReports:
    """Chooses which errors of a process are told, and hands them to an outbox."""

    def __init__(
        self,
        spec: ErrorReportsSpec,
        outbox: Outbox[ErrorReport],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`clock` counts seconds monotonically, `wall_clock` is Unix time, `draw` draws from 0 up to 1."""
        self._spec = spec
        self._outbox = outbox
        self._clock = clock
        self._wall_clock = wall_clock
        self._draw = draw
        self._allowed = float(spec.per_minute)
        self._counted_at = clock()

    def report(self, error: BaseException, *, secret: bool = False, **tags: str) -> bool:
        """Have an error told, with `tags` and the ids of the current request or job; return whether it will be.

        One that was reported already is not told again. Never waits and never raises.
        """
        if getattr(error, _TOLD, False):
            return False
        with contextlib.suppress(AttributeError, TypeError):
            setattr(error, _TOLD, True)
        if self._draw() >= self._spec.sample:
            return False
        if not self._take():
            self._outbox.counts.dropped += 1
            return False
        context = CONTEXT.get({})
        found = {name: str(context[name]) for name in _TAGS if name in context}
        return self._outbox.put(ErrorReport(error, self._wall_clock(), {**found, **tags}, secret))

    def _take(self) -> bool:
        """Take one of the reports that may be made: a bucket that a minute fills."""
        now = self._clock()
        most = self._spec.per_minute
        self._allowed = min(most, self._allowed + (now - self._counted_at) * most / 60)
        self._counted_at = now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True
