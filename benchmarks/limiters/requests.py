"""What a limit adds to a request of a FastAPI application, in process."""

from __future__ import annotations

from contextlib import AsyncExitStack

from benchmarks.http import microseconds
from benchmarks.report import OURS, Report

from .applications import BARE, LIMITED, STACK, bare, stack


async def measure(report: Report, *, rounds: int, requests: int) -> None:
    """Add the processor time of a request with each limiter, less that without it, in memory.

    Ours is our stack's with a limit less our stack's without one, which does other things too.
    """
    async with AsyncExitStack() as opened:
        without, ours_without = bare(), await opened.enter_async_context(stack(limited=False))
        apps = {name: await opened.enter_async_context(made()) for name, made in LIMITED.items()}
        for _ in range(rounds):
            for name, app in apps.items():
                # Beside each other, since what the machine does meanwhile is more than what is measured.
                before = await microseconds(ours_without if name == OURS else without, requests)
                took = await microseconds(app, requests)
                report.add("a limit adds to a request, in memory", name, took - before, unit="us", better="less")
                subject = STACK if name == OURS else BARE
                report.add("request of a FastAPI application", subject, before, unit="us", better="less")
