"""Looks at the PostgreSQL behind a service, on a connection of its own, and exports what it sees.

Apart from the pool, so that it still sees when the pool is exhausted, which is when it matters; and each look is given
up after some seconds, so that a server that hangs is told of and holds nothing up.
"""

from __future__ import annotations

from roadworthy.database import driver, server_metrics
from roadworthy.database.queries import load_queries
from roadworthy.database.session import Session
from roadworthy.outage import StoreDown, StoreRefused
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.registry import MetricRegistry

_log = get_logger(__name__)

PATIENCE = 5.0
"""Seconds that a look may take."""

_SIZE_EVERY = 20


class DatabaseObserver:
    """One service's view of its PostgreSQL server. Close it when done."""

    def __init__(
        self, dsn: str, database: str, metrics: MetricRegistry, *, name: str, patience: float = PATIENCE
    ) -> None:
        """Export under the label `database`; `name` is what PostgreSQL lists the connection under.

        `patience` bounds connecting, and each statement, in seconds.
        """
        self._database = database
        self._metrics = metrics
        self._session = Session(
            dsn, load_queries(__package__ or "", "observing.sql"), name=name, seconds=patience, begin=_begin
        )
        self._trouble: str | None = None
        self._deadlocks: int | None = None
        self._until_size = 0
        self._standbys: set[str] = set()
        metrics.bound(server_metrics.DEADLOCKS).labels(database)

    async def look(self) -> None:
        """Look once. What cannot be seen is no longer exported, and `database_up` says why; nothing is raised."""
        try:
            await self._state()
            await self._replication()
            if self._until_size == 0:
                await self._size()
        except StoreDown as error:
            self._blind(str(error), refused=isinstance(error, StoreRefused))
            return
        self._until_size = (self._until_size or _SIZE_EVERY) - 1
        self._metrics.bound(server_metrics.SERVER_UP).labels(self._database).set(1)
        if self._trouble is not None:
            _log.info("PostgreSQL answers again", database=self._database)
            self._trouble = None

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    async def _state(self) -> None:
        (row,) = await self._session.fetch("state")
        for state in server_metrics.CONNECTION_STATES:
            self._metrics.bound(server_metrics.CONNECTIONS).labels(self._database, state).set(row[state])
        for metric, column in (
            (server_metrics.CONNECTIONS_LIMIT, "most"),
            (server_metrics.LONGEST_TRANSACTION, "longest"),
            (server_metrics.LOCK_WAITS, "waiting"),
        ):
            self._metrics.bound(metric).labels(self._database).set(max(row[column], 0))
        self._count_deadlocks(row["deadlocks"] or 0)

    def _count_deadlocks(self, total: int) -> None:
        """Count those since the last look; after a reset of PostgreSQL's statistics it counts from zero."""
        before, self._deadlocks = self._deadlocks, total
        if before is not None:
            fresh = total - before if total >= before else total
            self._metrics.bound(server_metrics.DEADLOCKS).labels(self._database).inc(fresh)

    async def _replication(self) -> None:
        rows = await self._session.fetch("replication")
        seen = {row["standby"] for row in rows}
        if self._standbys - seen:
            # One that is gone has no lag; that it is gone, their number says.
            self._metrics.bound(server_metrics.REPLICATION_LAG).forget()
            self._metrics.bound(server_metrics.REPLICATION_LAG_BYTES).forget()
        self._standbys = seen
        for row in rows:
            labels = (self._database, row["standby"])
            self._metrics.bound(server_metrics.REPLICATION_LAG).labels(*labels).set(row["seconds"])
            self._metrics.bound(server_metrics.REPLICATION_LAG_BYTES).labels(*labels).set(row["bytes"])
        self._metrics.bound(server_metrics.STANDBYS).labels(self._database).set(len(seen - {"self"}))

    async def _size(self) -> None:
        (row,) = await self._session.fetch("size")
        self._metrics.bound(server_metrics.SIZE).labels(self._database).set(row["bytes"])

    def _blind(self, why: str, *, refused: bool) -> None:
        """Note that nothing is known: what was true once is not what an alert should go by."""
        self._metrics.bound(server_metrics.SERVER_UP).labels(self._database).set(int(refused))
        for metric in server_metrics.CATALOGUE:
            if metric not in (server_metrics.SERVER_UP, server_metrics.DEADLOCKS, server_metrics.SIZE):
                self._metrics.bound(metric).forget()
        if self._trouble is None:
            _log.warning("PostgreSQL cannot be observed; it is tried again", database=self._database, reason=why)
        self._trouble = why


async def _begin(connection: driver.Connection) -> None:
    """Nothing that it does is to change anything, or to last."""
    await connection.execute("SET default_transaction_read_only = on; SET statement_timeout = '10s'")
