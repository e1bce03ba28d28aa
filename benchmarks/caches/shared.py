"""How many gets a second one process gets out of the shared tier."""

from __future__ import annotations

import asyncio
import threading
import time

from .subject import Subject, names

CALLERS = 64


def keys_of(subject: Subject) -> list[str]:
    """Return the keys of a cache, which no other one understands."""
    return names(type(subject).__name__.lower())


async def gets(subject: Subject, seconds: float) -> float:
    """Return the gets a second of 64 callers at once, tasks or threads."""
    if subject.offers("get"):
        return await _in_tasks(subject, seconds)
    return await asyncio.to_thread(_in_threads, subject, seconds)


async def _in_tasks(subject: Subject, seconds: float) -> float:
    keys = keys_of(subject)
    end = time.perf_counter() + seconds

    async def caller(first: int) -> int:
        count, get = 0, subject.get
        while time.perf_counter() < end:
            for key in keys[first : first + 10]:
                if await get(key) is None:
                    raise RuntimeError(f"{type(subject).__name__} has nothing under {key!r}")
            count += 10
            first = (first + 10) % len(keys)
        return count

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(caller(number * 10)) for number in range(CALLERS)]
    return sum(done.result() for done in callers) / (time.perf_counter() - began)


def _in_threads(subject: Subject, seconds: float) -> float:
    keys = keys_of(subject)
    counts = [0] * CALLERS
    end = time.perf_counter() + seconds

    def caller(number: int) -> None:
        position = number * 10
        while time.perf_counter() < end:
            subject.get_in_thread(keys[position % len(keys)])
            position += 1
        counts[number] = position - number * 10

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 30)
    return sum(counts) / (time.perf_counter() - began)
