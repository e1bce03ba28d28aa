"""Who reads: API keys, and transactions in which PostgreSQL shows a key's holder the rows that are theirs to see."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from roadworthy import Database, load_queries

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

QUERIES = load_queries("vitals.reading", "access.sql")

PREFIX = "vitals_"
_LONGEST_KEY = 100

Holder = Literal["user", "trainer"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """The holder of an API key."""

    kind: Holder
    id: int
    name: str


def digest_of(key: str) -> str:
    """Return the SHA-256 of an API key in hexadecimal; a key is 256 random bits, which need no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


@asynccontextmanager
async def reading_as(database: Database, key: str) -> AsyncIterator[Connection]:
    """Open a transaction that runs under `vitals_reader` on behalf of the key's holder, whoever that is.

    A digest stands for the holder, so that SQL that runs there cannot become somebody else.
    """
    async with database.tenant(digest_of(key), setting="vitals.key_digest", role="vitals_reader") as connection:
        yield connection


async def may_see(database: Database, key: str, user: int) -> bool:
    """Return whether a key's holder may see a user now, by the rule that row-level security goes by."""
    allowed: bool = await database.fetchval(QUERIES["may_see"], digest_of(key), user)
    return allowed


def plausible(key: str) -> bool:
    """Return whether a text could be a key, so that nonsense costs no transaction."""
    return key.startswith(PREFIX) and len(key) <= _LONGEST_KEY and key.isascii()


async def viewer(connection: Connection) -> Viewer | None:
    """Return who reads in this transaction, None for a key that is unknown, revoked or past its time."""
    row = await connection.fetchrow(QUERIES["viewer"])
    return None if row is None else Viewer(row["kind"], row["id"], row["name"])


async def issue(
    database: Database, holder: Holder, reference: str, *, label: str = "", expires_at: datetime | None = None
) -> str | None:
    """Make an API key for a user or trainer and return it, None where there is none; it cannot be had again."""
    key = PREFIX + secrets.token_urlsafe(32)
    issued = await database.fetchval(QUERIES[f"issue_to_{holder}"], digest_of(key), reference, label, expires_at)
    return None if issued is None else key


async def revoke(database: Database, key: str) -> bool:
    """End a key for good; return whether it was in force."""
    return await database.fetchval(QUERIES["revoke"], digest_of(key)) is not None
