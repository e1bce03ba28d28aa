"""What is done to a server rather than in a database: databases made, copied and dropped.

Each function connects to `server`, the DSN of any other database there, as a user that may create databases.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from roadworthy.database import driver


async def create_database(server: str, name: str, *, template: str | None = None) -> bool:
    """Create the database `name`, a copy of `template` if given; return False if it is there already."""
    connection = await driver.connect(server)
    try:
        if await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            return False
        # A file copy beats the log for small templates, and alone needs no checkpoint when fsync is off.
        copied = "" if template is None else f" TEMPLATE {quoted(template)} STRATEGY file_copy"
        await connection.execute(f"CREATE DATABASE {quoted(name)}{copied}")
    except driver.DuplicateDatabase:
        return False
    finally:
        await connection.close()
    return True


async def drop_database(server: str, name: str) -> None:
    """Drop the database `name` if it exists, ending whatever is connected to it."""
    connection = await driver.connect(server)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")
    finally:
        await connection.close()


async def run(dsn: str, sql: str) -> None:
    """Connect, run `sql`, and disconnect."""
    connection = await driver.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def quoted(identifier: str) -> str:
    """Return `identifier` as SQL takes it, whatever it holds."""
    return '"' + identifier.replace('"', '""') + '"'


def name_in(dsn: str) -> str:
    """Return the name of the database that the URL `dsn` leads to."""
    return unquote(urlsplit(dsn).path.removeprefix("/"))
