"""What a pool exports; the runtime sets it from `Pool.statistics()`."""

from __future__ import annotations

from roadworthy.telemetry.spec import Label, MetricSpec

_DATABASE = Label("database", limit=10)

POOL_CONNECTIONS = MetricSpec(
    "database_pool_connections",
    "gauge",
    "Connections that this process holds, by whether something uses them",
    labels=(_DATABASE, Label("state", ("used", "idle"))),
)
POOL_CONNECTIONS_LIMIT = MetricSpec(
    "database_pool_connections_limit",
    "gauge",
    "Connections that this process may hold at once",
    labels=(_DATABASE,),
)
POOL_WAITING = MetricSpec(
    "database_pool_waiting",
    "gauge",
    "Callers that wait for a connection",
    labels=(_DATABASE,),
)

CATALOGUE: tuple[MetricSpec, ...] = (POOL_CONNECTIONS, POOL_CONNECTIONS_LIMIT, POOL_WAITING)
