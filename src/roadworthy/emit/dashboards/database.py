"""The board of PostgreSQL, as the service's pool and a connection of its own see it, and of Redis."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.database.metrics import POOL_IDLE, POOL_LIMIT, POOL_USED, POOL_WAITING, STATEMENTS
from roadworthy.database.server_metrics import (
    CONNECTIONS,
    CONNECTIONS_LIMIT,
    DEADLOCKS,
    LOCK_WAITS,
    LONGEST_TRANSACTION,
    REPLICATION_LAG,
    SERVER_UP,
    SIZE,
    STANDBYS,
)
from roadworthy.emit.dashboard import Dashboard, Panel, Query, Row
from roadworthy.emit.dashboards.expressions import quantile, rate, summed
from roadworthy.emit.indicator import selected
from roadworthy.redis import metrics as redis
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.spec import MetricSpec

_NO_REDIS = "There is no Redis where REDIS_URL is not set."


def database_performance(spec: ServiceSpec) -> Dashboard | None:
    """Return the board of a service's PostgreSQL and Redis, or None where it uses neither."""
    labels = {"service": spec.name}
    found = []
    if spec.database is not None or spec.queues:
        found.append(Row("Connections of the service", tuple(_pool(labels))))
        found.append(Row("Statements of the service", tuple(_statements(labels))))
        found.append(Row("PostgreSQL", tuple(_server(labels))))
    if spec.caches or spec.limits:
        found.append(Row("Redis", tuple(_redis(labels))))
    return Dashboard("database", "Database performance", tuple(found)) if found else None


def _largest(metric: MetricSpec, labels: dict[str, str], *by: str) -> str:
    return f"max by ({', '.join(by)}) ({selected(metric.name, labels)})"


def _pool(labels: dict[str, str]) -> Iterator[Panel]:
    used, idle, limit, waiting = (
        summed(selected(metric.name, labels)) for metric in (POOL_USED, POOL_IDLE, POOL_LIMIT, POOL_WAITING)
    )
    of_each = f"{selected(POOL_USED.name, labels)} / {selected(POOL_LIMIT.name, labels)}"
    yield Panel(
        "Connections in use",
        (Query(f"max by (process) ({of_each})", "{{process}}"),),
        unit="percentunit",
        alert="DatabasePoolExhausted",
    )
    yield Panel(
        "Connections",
        (Query(used, "in use"), Query(idle, "free"), Query(limit, "at most")),
        unit="none",
    )
    yield Panel("Callers that wait for a connection", (Query(waiting, "waiting"),), unit="none")


def _statements(labels: dict[str, str]) -> Iterator[Panel]:
    name = STATEMENTS.name
    took, count = (rate(f"{name}_{part}", labels, window="5m") for part in ("sum", "count"))
    yield Panel(
        "Mean time of a statement",
        (Query(f"{took} / {count}", "in five minutes"),),
        unit="s",
        description="Waiting for locks included. The alert wants one statement in ten seconds.",
        alert="SlowDatabaseQueries",
    )
    shares = ((0.5, "half"), (0.95, "19 in 20"), (0.99, "99 in 100"))
    yield Panel(
        "Time of a statement",
        tuple(Query(quantile(share, name, labels), f"{word} are faster") for share, word in shares),
        unit="s",
    )
    yield Panel(
        "Statements by outcome", (Query(rate(f"{name}_count", labels, by=("outcome",)), "{{outcome}}"),), unit="ops"
    )


def _server(labels: dict[str, str]) -> Iterator[Panel]:
    yield Panel(
        "PostgreSQL answers",
        (Query(f"min by (database) ({selected(SERVER_UP.name, labels)})", "{{database}}"),),
        unit="none",
        alert="PostgresDown",
        values={0: "down", 1: "up"},
    )
    in_use = f"sum by (database) ({_largest(CONNECTIONS, labels, 'database', 'state')})"
    yield Panel(
        "Connections of all clients",
        (Query(f"{in_use} / {_largest(CONNECTIONS_LIMIT, labels, 'database')}", "{{database}}"),),
        unit="percentunit",
        description="Of those that the server lets clients have.",
        alert="HighDatabaseConnections",
    )
    yield Panel(
        "What connections do",
        (Query(f"sum by (state) ({_largest(CONNECTIONS, labels, 'database', 'state')})", "{{state}}"),),
        unit="none",
    )
    yield Panel(
        "Oldest transaction",
        (Query(_largest(LONGEST_TRANSACTION, labels, "database"), "{{database}}"),),
        unit="s",
        alert="LongTransaction",
    )
    yield Panel(
        "Connections that wait for a lock",
        (Query(_largest(LOCK_WAITS, labels, "database"), "{{database}}"),),
        unit="none",
    )
    yield Panel(
        "Deadlocks",
        (Query(f"sum by (database) (increase({selected(DEADLOCKS.name, labels)}[15m]))", "{{database}}"),),
        unit="none",
        description="Ended by PostgreSQL within a quarter of an hour.",
        alert="Deadlocks",
    )
    yield Panel("Size", (Query(_largest(SIZE, labels, "database"), "{{database}}"),), unit="bytes")
    yield Panel("Standbys", (Query(_largest(STANDBYS, labels, "database"), "{{database}}"),), unit="none")
    yield Panel(
        "Standbys behind",
        (Query(_largest(REPLICATION_LAG, labels, "standby"), "{{standby}}"),),
        unit="s",
        alert="ReplicaLag",
        may_be_empty="There is no standby.",
    )


def _redis(labels: dict[str, str]) -> Iterator[Panel]:
    yield Panel(
        "Redis answers",
        (Query(f"min by (server) ({selected(redis.SERVER_UP.name, labels)})", "{{server}}"),),
        unit="none",
        alert="RedisDown",
        values={0: "down", 1: "up"},
        may_be_empty=_NO_REDIS,
    )
    used = _largest(redis.MEMORY, labels, "server")
    yield Panel("Memory of Redis", (Query(used, "{{server}}"),), unit="bytes", may_be_empty=_NO_REDIS)
    yield Panel(
        "Memory that Redis may have",
        (Query(f"{used} / ({_largest(redis.MEMORY_LIMIT, labels, 'server')} > 0)", "{{server}}"),),
        unit="percentunit",
        alert="RedisMemory",
        may_be_empty="There is no Redis, or it has no maxmemory.",
    )
    yield Panel(
        "Clients of Redis",
        (Query(_largest(redis.CLIENTS, labels, "server"), "{{server}}"),),
        unit="none",
        may_be_empty=_NO_REDIS,
    )
    yield Panel(
        "Keys dropped by Redis",
        (Query(f"max by (server) (increase({selected(redis.EVICTIONS.name, labels)}[15m]))", "{{server}}"),),
        description="Within a quarter of an hour, to stay within its maxmemory.",
        alert="RedisEvicting",
        may_be_empty=_NO_REDIS,
    )
