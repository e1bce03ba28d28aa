"""The one module that imports asyncpg: connections as Roadworthy opens them, and the errors that others react to.

`json` and `jsonb` values are Python objects on both sides, through msgspec. A DSN is a `postgresql://` URL.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import asyncpg.connection
import asyncpg.pool
import asyncpg.transaction
import msgspec
from asyncpg.pool import PoolConnectionProxy

from roadworthy.database import tracing
from roadworthy.errors import DatabaseUnavailable

if TYPE_CHECKING:
    PooledConnection = PoolConnectionProxy[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | PooledConnection
    RawPool = asyncpg.Pool[asyncpg.Record]
else:
    # asyncpg's classes are generic in its stubs alone.
    PooledConnection = PoolConnectionProxy
    Connection = asyncpg.Connection | PooledConnection
    RawPool = asyncpg.Pool

Record = asyncpg.Record
Block = asyncpg.transaction.Transaction

InterfaceError = asyncpg.InterfaceError
PostgresError = asyncpg.PostgresError
LockNotAvailable = asyncpg.LockNotAvailableError
DeadlockDetected = asyncpg.DeadlockDetectedError
UniqueViolation = asyncpg.UniqueViolationError
MISSING = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
)
InvalidCatalogName = asyncpg.InvalidCatalogNameError
DuplicateDatabase = asyncpg.DuplicateDatabaseError
UNREADABLE = (asyncpg.DataError, asyncpg.PostgresSyntaxError)

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    # What the driver says when the server ended the connection between a statement's parsing and its execution.
    asyncpg.InternalClientError,
    OSError,
)
"""What a statement raises when its connection is gone."""

CUT = tuple(kind for kind in LOST if kind is not OSError)
"""Of these, what only this driver raises: whoever catches it knows that it was no other connection."""

TRANSIENT = (
    *LOST,
    TimeoutError,
    # Deadlocks and serialisation, full disks and memory, cancelled statements, failing storage, a standby, a lock.
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
)
"""What a statement of its own transaction raises when running it again later may succeed, the statement being right."""

NOT_YET = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
    TimeoutError,
)
"""What connecting raises when trying again a little later may succeed: starting up, restarting, full, unreachable."""

Timed = Callable[[float, BaseException | None], None]
"""Told of each statement how many seconds it took, and what it raised, None for nothing."""

_SILENCE_SECONDS = 60.0
_pool_log = logging.getLogger(asyncpg.pool.__name__)
_JSONB_VERSION = b"\x01"
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):.*@|(?<=[?&]password=)[^&]*")


def masked(dsn: str) -> str:
    """Return `dsn` with its password, if any, replaced by `***`."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] is not None else "***", dsn)


def unavailable(dsn: str, why: BaseException | str) -> DatabaseUnavailable:
    """Return the error for a PostgreSQL at `dsn` that could not be reached."""
    reason = why if isinstance(why, str) else reason_of(why)
    return DatabaseUnavailable(
        f"PostgreSQL at {masked(dsn)} cannot be used: {reason}. Check that it runs and that DATABASE_URL is right"
    )


def reason_of(error: BaseException) -> str:
    """Return in words why a statement or a connection failed; a time-out has none of its own."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


class _Calm(logging.Filter):
    """Says in a line a minute what the driver's pool says with a traceback at each attempt while PostgreSQL is away."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info or record.exc_info[1] is None:
            return True
        if record.created < self._silent_until:
            return False
        self._silent_until = record.created + _SILENCE_SECONDS
        record.msg, record.args = "%s: %s", (record.getMessage(), reason_of(record.exc_info[1]))
        record.exc_info = None
        return True


async def prepare(connection: Connection) -> None:
    """Set the JSON codecs on a new connection."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=msgspec.json.encode, decoder=msgspec.json.decode, format="binary"
    )
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


def _encode_jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + msgspec.json.encode(value)


def _decode_jsonb(data: bytes) -> Any:
    return msgspec.json.decode(data[1:])


async def connect(
    dsn: str,
    *,
    application_name: str = "roadworthy",
    timeout: timedelta = timedelta(seconds=10),
    command_timeout: timedelta | None = timedelta(seconds=60),
) -> asyncpg.Connection[asyncpg.Record]:
    """Open one connection outside any pool; the caller closes it.

    Raises DatabaseUnavailable when PostgreSQL does not answer, or answers no, within `timeout`.
    """
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=timeout.total_seconds(),
            command_timeout=None if command_timeout is None else command_timeout.total_seconds(),
            server_settings={"application_name": application_name},
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError) as error:
        raise unavailable(dsn, error) from error
    try:
        await prepare(connection)
    except BaseException as error:
        connection.terminate()
        if isinstance(error, TRANSIENT):
            raise unavailable(dsn, error) from error
        raise
    return connection


async def close(connection: asyncpg.Connection[asyncpg.Record], timeout: timedelta = timedelta(seconds=5)) -> None:
    """Close a connection made by `connect`, in any state, politely for `timeout` at most."""
    try:
        await connection.close(timeout=timeout.total_seconds())
    except (asyncpg.PostgresError, TimeoutError, *LOST):
        connection.terminate()


async def create_pool(
    dsn: str,
    *,
    size: tuple[int, int],
    connect_timeout: timedelta,
    command_timeout: timedelta,
    settings: dict[str, str],
    timed: Timed | None = None,
) -> RawPool:
    """Open an asyncpg pool of `size` (smallest, largest) connections with the server's `settings` on each.

    `timed` is told of each statement how many seconds it took and what it raised.
    """
    if not any(isinstance(known, _Calm) for known in _pool_log.filters):
        _pool_log.addFilter(_Calm())
    smallest, largest = size

    async def begin(connection: Connection) -> None:
        await prepare(connection)
        if timed is not None:
            connection.add_query_logger(_telling(timed, connection.get_reset_query()))

    return await asyncpg.create_pool(
        dsn,
        min_size=smallest,
        max_size=largest,
        init=begin,
        timeout=connect_timeout.total_seconds(),
        command_timeout=command_timeout.total_seconds(),
        server_settings=settings,
    )


def _telling(timed: Timed, reset: str) -> Callable[[asyncpg.connection.LoggedQuery], None]:
    """Return what tells `timed` of statements, but for the one by which the pool itself resets a connection."""

    def tell(statement: asyncpg.connection.LoggedQuery) -> None:
        if statement.query != reset:
            timed(statement.elapsed, statement.exception)
            tracing.record(statement.query, statement.elapsed, statement.exception)

    return tell


def was_cut(error: BaseException) -> bool:
    """Return whether an error of CUT says that the connection is gone, and not that it was used wrongly."""
    return not isinstance(error, asyncpg.InterfaceError) or "closed" in str(error)


@asynccontextmanager
async def reaching() -> AsyncIterator[None]:
    """Say DatabaseUnavailable where what runs in it failed for a reason that may pass."""
    try:
        yield
    except TRANSIENT as error:
        raise DatabaseUnavailable(
            f"PostgreSQL did not answer: {str(error) or type(error).__name__}; try again"
        ) from error
