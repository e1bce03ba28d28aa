"""What deciders are put to, and what is measured of it."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Sequence

from .deciders import Decider, DeciderNow


async def nanoseconds(decider: Decider, keys: Sequence[str]) -> float:
    """Return the processor time of one decision, awaited one after the other."""
    call = decider.call
    gc.collect()
    began = time.thread_time_ns()
    for key in keys:
        await call(key)
    return (time.thread_time_ns() - began) / len(keys)


def nanoseconds_now(decider: DeciderNow, keys: Sequence[str]) -> float:
    """Return the processor time of one decision."""
    call = decider.call
    gc.collect()
    began = time.thread_time_ns()
    for key in keys:
        call(key)
    return (time.thread_time_ns() - began) / len(keys)


async def per_second(decider: Decider, callers: int, keys: Sequence[str], seconds: float, seed: int) -> float:
    """Return the decisions in a second of so many callers, each of which asks for random keys, one after the other."""
    loop = asyncio.get_running_loop()
    draws = random.Random(seed)
    drawn = [draws.choice(keys) for _ in range(20_000)]
    call, admitted, decided = decider.call, decider.admitted, 0
    until = loop.time() + seconds

    async def caller(number: int) -> None:
        nonlocal decided
        place = number * 300
        while True:
            # So that looking at the time costs little.
            for _ in range(20):
                place = (place + 1) % 20_000
                if not admitted(await call(drawn[place])):
                    raise AssertionError("a decision of the load was a denial")
                decided += 1
            if loop.time() >= until:
                return

    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(caller(number))
    return decided / (loop.time() - began)
