"""What a pool exports: where its connections are, and who waits for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from roadworthy.telemetry.spec import MetricSpec

if TYPE_CHECKING:
    from roadworthy.database.pool import PoolStatistics
    from roadworthy.telemetry.registry import MetricRegistry

POOL_USED = MetricSpec("database_pool_used", "gauge", "Database connections in use.")
POOL_IDLE = MetricSpec("database_pool_idle", "gauge", "Database connections open and free.")
POOL_LIMIT = MetricSpec("database_pool_limit", "gauge", "Database connections that may be open at once.")
POOL_WAITING = MetricSpec("database_pool_waiting", "gauge", "Callers that wait for a database connection.")

CATALOGUE: tuple[MetricSpec, ...] = (POOL_USED, POOL_IDLE, POOL_LIMIT, POOL_WAITING)


def track(registry: MetricRegistry, statistics: Callable[[], PoolStatistics]) -> None:
    """Have `registry` read a pool's `statistics` whenever it is scraped."""
    registry.bound(POOL_USED).track(lambda: statistics().used)
    registry.bound(POOL_IDLE).track(lambda: statistics().idle)
    registry.bound(POOL_LIMIT).track(lambda: statistics().largest)
    registry.bound(POOL_WAITING).track(lambda: statistics().waiting)
