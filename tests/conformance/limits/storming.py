"""One of several processes that ask one store for as much as they can get, and tell how much that was.

    python -m conformance.limits.storming KIND URL PREFIX SECONDS

It says `ready`, begins at a line on its input, and ends after so many seconds with what it was granted, by algorithm.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from roadworthy.limits.limiter import Limiter
from roadworthy.limits.spec import LONGEST_STORE_TIMEOUT, LimitSpec
from roadworthy.limits.store import Counter, Store

from .stores import LEASED, STORMED, Kind, opened

LIMIT = 60


async def _take(store: Store, counters: list[Counter], cost: int, most: int, until: float) -> int:
    granted, left = 0, True
    # On a slow machine for longer, so that everything there is gets taken.
    while left or time.monotonic() < until:
        taken = (await store.take(counters, cost, most))[0].granted
        granted, left = granted + taken, taken > 0
    return granted


async def _check(limiter: Limiter, until: float) -> int:
    admitted, left = 0, True
    while left or time.monotonic() < until:
        left = (await limiter.check("somebody")).admitted
        admitted += left
        # What is decided without asking lets nobody else have a turn.
        await asyncio.sleep(0)
    return admitted


async def main(kind: Kind, url: str, prefix: str, seconds: float) -> None:
    """Do all of it."""
    async with asyncio.timeout(LIMIT), opened(kind, url) as store:
        limiter = Limiter(LimitSpec("leased", (LEASED,), store_timeout=LONGEST_STORE_TIMEOUT), prefix, store)
        counters: dict[str, Counter] = {
            quota.algorithm: Counter(f"{prefix}:{quota.algorithm}", quota) for quota in STORMED
        }
        # Taken from together, in an order that is not that of their names.
        others = list(reversed([Counter(f"{prefix}:together:{quota.algorithm}", quota) for quota in STORMED]))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            callers: dict[str, list[asyncio.Task[int]]] = {
                name: [
                    group.create_task(_take(store, [one], 1, 1, until)),
                    group.create_task(_take(store, [one], 2, 5, until)),
                ]
                for name, one in counters.items()
            }
            callers["together"] = [
                group.create_task(_take(store, others, 1, 1, until)),
                group.create_task(_take(store, others[::-1], 1, 3, until)),
            ]
            callers["leased"] = [group.create_task(_check(limiter, until)) for _ in range(4)]
    counts = {name: sum(task.result() for task in some) for name, some in callers.items()}
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    kind, url, prefix, seconds = sys.argv[1:]
    asyncio.run(main(kind, url, prefix, float(seconds)))  # type: ignore[arg-type]
