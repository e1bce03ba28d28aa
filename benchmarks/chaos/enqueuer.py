"""A process that places orders all the time: `python -m benchmarks.chaos.enqueuer PER_SECOND`."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys

from roadworthy import DatabaseUnavailable
from roadworthy.database import driver

from .service import ACCOUNTS, computed, database, doomed, flaky, hanging, limited, plain, service, snoozed, threaded

_KINDS = {
    "plain": 30,
    "flaky": 12,
    "doomed": 3,
    "snoozed": 8,
    "hanging": 4,
    "limited": 25,
    "threaded": 12,
    "computed": 6,
}
_ORDER = "INSERT INTO orders (kind) SELECT $1 FROM generate_series(1, $2) RETURNING n"


class _ChangedItsMind(Exception):
    """The transaction is to roll back."""


async def place(kind: str, count: int = 1, takes: float = 0.2, *, certain: bool = False) -> None:
    """Write orders and enqueue their jobs, in one transaction; unless `certain`, one in ten is rolled back."""
    with contextlib.suppress(_ChangedItsMind):
        async with database.transaction() as connection:
            for row in await connection.fetch(_ORDER, kind, count):
                await _enqueue(kind, row["n"], takes)
            if not certain and random.random() < 0.1:
                raise _ChangedItsMind


async def _enqueue(kind: str, n: int, takes: float) -> None:
    match kind:
        case "plain":
            await plain.enqueue(n, random.uniform(0, 2 * takes))
        case "flaky":
            await flaky.enqueue(n, random.randint(1, 3))
        case "doomed":
            await doomed.enqueue(n)
        case "snoozed":
            await snoozed.enqueue(n)
        case "hanging":
            await hanging.enqueue(n)
        case "limited":
            await limited.enqueue(n, random.randrange(ACCOUNTS), random.uniform(0.1, 0.7))
        case "threaded":
            await threaded.enqueue(n, random.uniform(0, 2 * takes))
        case "computed":
            await computed.enqueue(n, random.uniform(0.1, 1.0))


async def main(per_second: float) -> None:
    """Place orders until killed."""
    async with service.running():
        while True:
            (kind,) = random.choices(list(_KINDS), weights=list(_KINDS.values()))
            try:
                await place(kind, count=random.choice((1, 1, 1, 3)))
            except (DatabaseUnavailable, driver.PostgresError, TimeoutError, *driver.LOST):
                await asyncio.sleep(0.2)
            await asyncio.sleep(random.expovariate(per_second))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
