"""Alerts on the PostgreSQL behind a service, from what the service itself sees of it.

Several processes may look at one server, so what they tell is not added up: each expression takes the largest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from roadworthy.database import server_metrics as seen
from roadworthy.database.metrics import STATEMENTS
from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.objectives.spec import AlertExample, Severity
from roadworthy.service import ServiceSpec

_LAG_BYTES = 1024**3


def database_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts on the database of a service."""
    name = "main" if spec.database is None else spec.database.name
    labels = {"service": spec.name}
    one = {**labels, "database": name}
    yield _down(labels, one)
    yield _connections(labels, one)
    yield _slow(labels)
    yield _deadlocks(labels, one)
    yield _transaction(labels, one)
    yield _lag(labels, one)
    yield _standby_gone(labels, one)


def _down(labels: Mapping[str, str], one: Mapping[str, str]) -> Alert:
    up = selected(seen.SERVER_UP.name, one)
    return _level(
        "PostgresDown",
        f"max by (database) ({selected(seen.SERVER_UP.name, labels)}) == 0",
        minutes(1),
        "critical",
        "PostgreSQL does not answer",
        "The database {{ $labels.database }} does not answer within five seconds: it is down, hangs, or cannot be "
        "reached from where the service looks.",
        "Does it run? Try `psql` with the service's DATABASE_URL from the same machine. The log has why a look failed "
        "(PostgreSQL cannot be observed). Is its disk full (DiskSpaceLow), or did it run out of connections? Requests "
        "are answered 503 and jobs wait meanwhile; both go on by themselves.",
        {up: "0x60"},
        {up: "1x60"},
        one,
    )


def _connections(labels: Mapping[str, str], one: Mapping[str, str]) -> Alert:
    used, most = (selected(metric.name, labels) for metric in (seen.CONNECTIONS, seen.CONNECTIONS_LIMIT))
    idle = selected(seen.CONNECTIONS.name, {**one, "state": "idle"})
    active = selected(seen.CONNECTIONS.name, {**one, "state": "active"})
    limit = selected(seen.CONNECTIONS_LIMIT.name, one)
    return _level(
        "HighDatabaseConnections",
        f"sum by (database) (max by (database, state) ({used})) / (max by (database) ({most}) > 0) > 0.8",
        minutes(5),
        "warning",
        "PostgreSQL is running out of connections",
        "{{ $value | humanizePercentage }} of the connections that the server of {{ $labels.database }} has are open; "
        "past them it refuses everybody, whichever service they are.",
        "Which state do they have (database_connections by state)? Idle in a transaction: somebody holds them without "
        "need, and pg_stat_activity says who. Idle: the pools of all processes together are larger than the server "
        "bears, so lower pool= or the number of processes. Active: look for slow statements and locks first.",
        {idle: "20x60", active: "62x60", limit: "97x60"},
        {idle: "20x60", active: "50x60", limit: "97x60"},
        one,
        {"{{ $value | humanizePercentage }}": "84.54%"},
    )


def _slow(labels: Mapping[str, str]) -> Alert:
    took, count = (selected(f"{STATEMENTS.name}_{part}", labels) for part in ("sum", "count"))
    of = {**labels, "outcome": "succeeded"}
    took_one, count_one = (selected(f"{STATEMENTS.name}_{part}", of) for part in ("sum", "count"))
    return Alert(
        "SlowDatabaseQueries",
        f"sum(rate({took}[5m])) / (sum(rate({count}[5m])) > 0.1) > 0.5",
        minutes(10),
        "warning",
        "Statements take more than half a second on average",
        "A statement of the service takes {{ $value | humanizeDuration }} on average, waiting for locks included.",
        "Does one wait for another (database_lock_waits)? The log of PostgreSQL has each that took longer than a "
        "second. `SELECT query, calls, mean_exec_time FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 10` "
        "names the dearest. Was there a deploy, or did a table grow past its index? EXPLAIN (ANALYZE, BUFFERS) the "
        "first of them.",
        example=AlertExample(
            {took_one: "0+48x120", count_one: "0+60x120"},
            {took_one: "0+24x120", count_one: "0+60x120"},
            INTERVAL,
            {},
            {"{{ $value | humanizeDuration }}": "800ms"},
        ),
    )


def _deadlocks(labels: Mapping[str, str], one: Mapping[str, str]) -> Alert:
    ended = selected(seen.DEADLOCKS.name, one)
    return _level(
        "Deadlocks",
        f"max by (database) (increase({selected(seen.DEADLOCKS.name, labels)}[15m])) > 0",
        minutes(1),
        "warning",
        "Transactions wait for each other",
        "PostgreSQL has ended a deadlock in {{ $labels.database }} within the last quarter of an hour by failing one "
        "of its statements.",
        "The log of PostgreSQL has both statements of each (deadlock detected). Have every transaction lock rows in "
        "the same order, as by ORDER BY id FOR UPDATE. A job that failed so is tried again by itself; a request is "
        "not.",
        {ended: "0+1x60"},
        {ended: "5x60"},
        one,
        after=INTERVAL,
    )


def _transaction(labels: Mapping[str, str], one: Mapping[str, str]) -> Alert:
    longest = selected(seen.LONGEST_TRANSACTION.name, one)
    return _level(
        "LongTransaction",
        f"max by (database) ({selected(seen.LONGEST_TRANSACTION.name, labels)}) > 120",
        minutes(2),
        "warning",
        "A transaction has been open for long",
        "A transaction in {{ $labels.database }} or beside it has been open for {{ $value | humanizeDuration }}: what "
        "it locked stays locked, and no vacuum can take away what was deleted since it began.",
        "`SELECT pid, usename, application_name, state, xact_start, query FROM pg_stat_activity ORDER BY xact_start "
        "LIMIT 5` says whose it is. Idle in transaction: a program forgot it, or waits for something else meanwhile. "
        "Active: is it a report or a migration that may take so long? `SELECT pg_terminate_backend(pid)` ends it and "
        "rolls it back.",
        {longest: "121x60"},
        {longest: "119x60"},
        one,
        {"{{ $value | humanizeDuration }}": "2m 1s"},
    )


def _lag(labels: Mapping[str, str], one: Mapping[str, str]) -> Alert:
    behind, left = (selected(metric.name, labels) for metric in (seen.REPLICATION_LAG, seen.REPLICATION_LAG_BYTES))
    of = {**one, "standby": "standby"}
    time, log = (selected(metric.name, of) for metric in (seen.REPLICATION_LAG, seen.REPLICATION_LAG_BYTES))
    by = "max by (database, standby)"
    return _level(
        "ReplicaLag",
        f"{by} ({behind}) > 30 or {by} ({left}) > {_LAG_BYTES}",
        minutes(5),
        "warning",
        "A standby is behind",
        "The standby {{ $labels.standby }} of {{ $labels.database }} is more than thirty seconds or a gibibyte behind: "
        "what reads from it sees the past, and a failover to it would lose that much.",
        "Is its disk or its network busy? Does a long query on it hold the replay up (max_standby_streaming_delay)? Is "
        "the primary writing more than usual, as a migration or a bulk load does? Do not fail over to it before it has "
        "caught up.",
        {time: "31x60", log: "0x60"},
        {time: "30x60", log: f"{_LAG_BYTES}x60"},
        of,
    )


def _standby_gone(labels: Mapping[str, str], one: Mapping[str, str]) -> Alert:
    standbys = selected(seen.STANDBYS.name, one)
    every = selected(seen.STANDBYS.name, labels)
    return _level(
        "ReplicaGone",
        # One that is gone has no lag, and what has no series fires nothing.
        f"max by (database) ({every}) < max by (database) (max_over_time({every}[6h]))",
        minutes(10),
        "warning",
        "A standby is not connected any more",
        "{{ $labels.database }} has {{ $value }} standbys connected, and had more within the last six hours.",
        "Was one taken away on purpose? Then this ends by itself. Else: does it run, and can it reach the primary? If "
        "it has a replication slot, the primary keeps the log for it until the disk is full: watch DiskSpaceLow.",
        {standbys: "1x10 0x60"},
        {standbys: "0x10 1x60"},
        one,
        {"{{ $value }}": "0"},
        after=11 * INTERVAL,
    )


def _level(
    name: str,
    expression: str,
    duration: timedelta,
    severity: Severity,
    summary: str,
    description: str,
    steps: str,
    fires: Mapping[str, str],
    quiet: Mapping[str, str],
    one: Mapping[str, str],
    rendered: Mapping[str, str] | None = None,
    *,
    after: timedelta = timedelta(0),
) -> Alert:
    """Return an alert on one database, whose example is of that."""
    labels = {name: value for name, value in one.items() if name not in ("service", "state")}
    shown = {f"{{{{ $labels.{name} }}}}": value for name, value in labels.items()}
    return Alert(
        name,
        expression,
        duration,
        severity,
        summary,
        description,
        steps,
        example=AlertExample(fires, quiet, after, labels, {**shown, **(rendered or {})}),
    )
