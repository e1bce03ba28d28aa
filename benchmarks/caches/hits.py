"""How long a hit in memory takes, of processor time."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .subject import VALUE, AsyncCall, SyncCall, names


@contextmanager
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _passes(nanoseconds: int, seconds: float) -> int:
    return max(1, min(200, int(seconds * 1e9 / max(nanoseconds, 1))))


async def of_async(call: AsyncCall, seconds: float) -> float:
    """Return nanoseconds for each of the hits that fit into `seconds`, one after the other over all keys."""
    keys = names()
    for _ in range(2):
        for key in keys:
            value = await call(key)
            assert value == VALUE, value
    began = time.thread_time_ns()
    for key in keys:
        await call(key)
    passes = _passes(time.thread_time_ns() - began, seconds)
    with _without_collector():
        began = time.thread_time_ns()
        for _ in range(passes):
            for key in keys:
                await call(key)
        return (time.thread_time_ns() - began) / passes / len(keys)


def of_sync(call: SyncCall, seconds: float) -> float:
    """Return nanoseconds for each of the hits that fit into `seconds`, one after the other over all keys."""
    keys = names()
    for _ in range(2):
        for key in keys:
            value = call(key)
            assert value == VALUE, value
    began = time.thread_time_ns()
    for key in keys:
        call(key)
    passes = _passes(time.thread_time_ns() - began, seconds)
    with _without_collector():
        began = time.thread_time_ns()
        for _ in range(passes):
            for key in keys:
                call(key)
        return (time.thread_time_ns() - began) / passes / len(keys)
