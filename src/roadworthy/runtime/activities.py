"""Open what notes who is active: a connection of its own that is made when there is something to write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from roadworthy.activity.keeper import Keeper
from roadworthy.activity.postgres import PACKAGE
from roadworthy.database.driver import Connection
from roadworthy.database.queries import load_queries
from roadworthy.database.session import Session

if TYPE_CHECKING:
    from roadworthy.service import ServiceSpec
    from roadworthy.telemetry.registry import MetricRegistry

_SECONDS = 30.0


@asynccontextmanager
async def opened(spec: ServiceSpec, dsn: str, registry: MetricRegistry) -> AsyncIterator[Keeper]:
    """Note who is active within an `async with`."""
    session = Session(dsn, load_queries(PACKAGE), name="roadworthy activity", seconds=_SECONDS, begin=_begin)
    keeper = Keeper(spec.activities, session.fetch, registry)
    writing = asyncio.create_task(keeper.write_forever(), name="activity") if spec.activities else None
    try:
        yield keeper
    finally:
        if writing is not None:
            writing.cancel()
            await asyncio.wait([writing], timeout=1)
            await keeper.close()
        await session.close()


async def _begin(connection: Connection) -> None:
    """Use the connection as it is."""
