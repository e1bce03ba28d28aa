"""What is exported of the PostgreSQL behind a service, as one process sees it that looks at it in the background."""

from __future__ import annotations

from roadworthy.telemetry.spec import Label, MetricSpec

CONNECTION_STATES = ("active", "idle", "idle_in_transaction", "other")
"""What connections do; other ones belong to users whose doings the service's user may not see."""

# Open, so that no series is born in a process that does not look: a 0 nobody saw would be a false alarm.
_DATABASE = Label("database", limit=10)
_STANDBY = Label("standby", limit=20)

SERVER_UP = MetricSpec(
    "database_up", "gauge", "1 where PostgreSQL answered the last look in time, else 0.", (_DATABASE,), across="max"
)
CONNECTIONS = MetricSpec(
    "database_connections",
    "gauge",
    "Connections of all clients to the whole server, by what they do.",
    (_DATABASE, Label("state", CONNECTION_STATES)),
    across="max",
)
CONNECTIONS_LIMIT = MetricSpec(
    "database_connections_limit",
    "gauge",
    "Connections that the server lets clients have at once, without those reserved for superusers.",
    (_DATABASE,),
    across="max",
)
LONGEST_TRANSACTION = MetricSpec(
    "database_longest_transaction_seconds",
    "gauge",
    "For how long the oldest open transaction of a client has been open; 0 without one.",
    (_DATABASE,),
    across="max",
)
LOCK_WAITS = MetricSpec(
    "database_lock_waits", "gauge", "Connections that wait for a lock of another one.", (_DATABASE,), across="max"
)
DEADLOCKS = MetricSpec(
    "database_deadlocks_total", "counter", "Deadlocks that PostgreSQL ended by failing a statement.", (_DATABASE,)
)
SIZE = MetricSpec("database_size_bytes", "gauge", "What the database takes on the disk.", (_DATABASE,), across="max")
STANDBYS = MetricSpec(
    "database_standbys", "gauge", "Standbys that are connected to the server.", (_DATABASE,), across="max"
)
REPLICATION_LAG = MetricSpec(
    "database_replication_lag_seconds",
    "gauge",
    "How far a standby is behind; the server itself, where it is one, is called self.",
    (_DATABASE, _STANDBY),
    across="max",
)
REPLICATION_LAG_BYTES = MetricSpec(
    "database_replication_lag_bytes",
    "gauge",
    "How much of the log a standby has not replayed yet.",
    (_DATABASE, _STANDBY),
    across="max",
)

CATALOGUE: tuple[MetricSpec, ...] = (
    SERVER_UP,
    CONNECTIONS,
    CONNECTIONS_LIMIT,
    LONGEST_TRANSACTION,
    LOCK_WAITS,
    DEADLOCKS,
    SIZE,
    STANDBYS,
    REPLICATION_LAG,
    REPLICATION_LAG_BYTES,
)
