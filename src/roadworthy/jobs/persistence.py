"""Waiting out a database that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from roadworthy.errors import DatabaseUnavailable
from roadworthy.telemetry.logging import get_logger

T = TypeVar("T")

log = get_logger(__name__)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Seconds between two attempts to reach the database, at first and in the end."""


async def persist(call: Callable[[], Awaitable[T]], what: str) -> T:
    """Return what `call` returns, however long the database is away; `what` names it in the log."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except DatabaseUnavailable as error:
            log.warning(f"cannot {what}", reason=str(error), again_in=round(pause, 2))
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
