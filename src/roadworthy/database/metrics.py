"""What a pool exports: where its connections are, and who waits for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from roadworthy.database.server_metrics import CATALOGUE as SERVER_CATALOGUE
from roadworthy.telemetry.spec import Label, MetricSpec

if TYPE_CHECKING:
    from roadworthy.database.pool import PoolStatistics
    from roadworthy.telemetry.registry import MetricRegistry

POOL_USED = MetricSpec("database_pool_used", "gauge", "Database connections in use.", across="each")
POOL_IDLE = MetricSpec("database_pool_idle", "gauge", "Database connections open and free.")
POOL_LIMIT = MetricSpec("database_pool_limit", "gauge", "Database connections that may be open at once.", across="each")
POOL_WAITING = MetricSpec("database_pool_waiting", "gauge", "Callers that wait for a database connection.")

STATEMENTS = MetricSpec(
    "database_statement_seconds",
    "histogram",
    "Time from sending a statement over a connection of the pool to the last of its answer.",
    (Label("outcome", ("succeeded", "failed", "cancelled")),),
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)

CATALOGUE: tuple[MetricSpec, ...] = (POOL_USED, POOL_IDLE, POOL_LIMIT, POOL_WAITING, STATEMENTS, *SERVER_CATALOGUE)


def track(registry: MetricRegistry, statistics: Callable[[], PoolStatistics]) -> None:
    """Have `registry` read a pool's `statistics` whenever it is scraped."""
    registry.bound(POOL_USED).track(lambda: statistics().used)
    registry.bound(POOL_IDLE).track(lambda: statistics().idle)
    registry.bound(POOL_LIMIT).track(lambda: statistics().largest)
    registry.bound(POOL_WAITING).track(lambda: statistics().waiting)


def timing(registry: MetricRegistry) -> Callable[[float, BaseException | None], None]:
    """Return what counts in `registry` a statement that took so many seconds, and failed with an error or None."""
    bound = registry.bound(STATEMENTS)
    succeeded, failed, cancelled = (bound.labels(outcome) for outcome in ("succeeded", "failed", "cancelled"))

    def count(seconds: float, error: BaseException | None) -> None:
        series = succeeded if error is None else failed if isinstance(error, Exception) else cancelled
        series.observe(seconds)

    return count
