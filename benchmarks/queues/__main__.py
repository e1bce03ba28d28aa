"""One process of one queue: `python -m benchmarks.queues install|work|produce <module> <settings> <url> <queue>`.

A producer takes orders as lines of JSON and answers each with one. Moments are nanoseconds of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import random
import sys
import time
from typing import Any

from .subject import Subject

_TICK = 0.002


async def produce(subject: Subject) -> None:
    """Obey orders until there are none."""
    await subject.open()
    _answer({"offers": [method for method in _METHODS if subject.offers(method)]})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        _answer(await _ORDERS[order.pop("do")](subject, **order))


def _answer(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


async def _singly(subject: Subject, method: str, first: int, count: int) -> dict[str, Any]:
    """Add jobs one by one, as fast as it goes."""
    add = getattr(subject, method)
    began = time.perf_counter()
    for number in range(first, first + count):
        await add(number)
    return {"seconds": time.perf_counter() - began}


async def _together(subject: Subject, first: int, count: int, batch: int, most: float) -> dict[str, Any]:
    """Add jobs in bulk, for `most` seconds at most."""
    began = time.perf_counter()
    number = first
    while number < first + count and time.perf_counter() - began < most:
        size = min(batch, first + count - number)
        await subject.enqueue_many(range(number, number + size))
        number += size
    return {"seconds": time.perf_counter() - began, "count": number - first}


async def _spaced(subject: Subject, first: int, count: int) -> dict[str, Any]:
    """Add jobs one by one with 30 to 90 ms between; return when each call began."""
    draw, at = random.Random(first), []
    for number in range(first, first + count):
        await asyncio.sleep(draw.uniform(0.03, 0.09))
        at.append(time.monotonic_ns())
        await subject.enqueue_one(number)
    return {"at": at}


async def _steadily(subject: Subject, first: int, rate: float, seconds: float, bulk: bool) -> dict[str, Any]:
    """Add `rate` jobs a second, whatever becomes of them; return when the call that added each began."""
    at: list[int] = []
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        due = int(rate * passed) + 1 - len(at)
        if bulk and due > 0:
            at += [time.monotonic_ns()] * due
            await subject.enqueue_many(range(first + len(at) - due, first + len(at)))
        elif due > 0:
            at.append(time.monotonic_ns())
            await subject.enqueue_one(first + len(at) - 1)
        rest = (len(at) / rate) - (time.perf_counter() - began)
        await asyncio.sleep(max(rest, _TICK if bulk else 0))
    return {"at": at}


_METHODS = ("enqueue_one", "enqueue_in_transaction", "enqueue_many")
_ORDERS = {"singly": _singly, "together": _together, "spaced": _spaced, "steadily": _steadily}


def main() -> None:
    """Take the one role that the command line names."""
    role, module, settings, url, queue = sys.argv[1:]
    subject = importlib.import_module(f".{module}", __package__).Queue(url, queue, **json.loads(settings))
    if role == "work":
        subject.work()
        return
    try:
        import uvloop
    except ModuleNotFoundError:
        run = asyncio.run
    else:
        run = uvloop.run
    run(subject.install() if role == "install" else produce(subject))


if __name__ == "__main__":
    main()
