"""API keys in PostgreSQL: issued, rotated, revoked, listed and read.

Each change is audited in its own transaction, which is the caller's where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from roadworthy.database.queries import load_queries
from roadworthy.errors import KeyNotFound
from roadworthy.security import audit
from roadworthy.security.key import NewKey, make, prefix_of
from roadworthy.security.known_keys import Row
from roadworthy.security.presented import ApiKey

if TYPE_CHECKING:
    from roadworthy.database.driver import Record
    from roadworthy.database.pool import Pool
    from roadworthy.database.session import Session

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is kept. `last_used_at` is right to the minute; `replaced_by` is the id of the key after it."""

    id: str
    keys: str
    name: str
    owner: str
    scopes: tuple[str, ...]
    limit: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None

    def state(self, now: datetime) -> str:
        """Return "active", "rotated" (in force until its end, and replaced), "expired" or "revoked"."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active" if self.replaced_by is None else "rotated"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key that was just made. `secret` is its whole text, to be shown once: it cannot be had again."""

    secret: str
    record: KeyRecord

    @property
    def id(self) -> str:
        """Its public name."""
        return self.record.id

    def __repr__(self) -> str:
        return f"IssuedKey({self.id!r})"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key is issued for."""

    keys: str
    prefix: str
    name: str
    owner: str = ""
    scopes: tuple[str, ...] = ()
    limit: str | None = None
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a change, for the audit."""

    actor: str | None = None
    origin: str | None = None
    reason: str | None = None


NOBODY = Asker()


def _sql(name: str) -> str:
    return load_queries(__package__)[name]


async def issue(pool: Pool, grant: Grant, by: Asker = NOBODY) -> IssuedKey:
    """Make a key and keep its digest."""
    async with pool.transaction():
        issued = await _add(pool, grant)
        detail = {"name": grant.name, "owner": grant.owner, "scopes": list(grant.scopes)}
        await _audit(pool, "api_key.issue", issued.id, by, detail)
    return issued


async def rotate(pool: Pool, id: str, *, overlap: timedelta, keys: str | None = None, by: Asker = NOBODY) -> IssuedKey:
    """Make a key like another one, which ends `overlap` later at the latest.

    Raises KeyNotFound where the other one is not in force, or was rotated before.
    """
    async with pool.transaction():
        old = await pool.fetchrow(_sql("lock_key"), id, keys)
        if old is None:
            raise _not_found(id)
        if old["replaced_by"] is not None:
            raise KeyNotFound(f"API key {id!r} was rotated already; rotate {old['replaced_by']!r}, which replaced it")
        grant = Grant(
            old["keys"], prefix_of(id), old["name"], old["owner"], tuple(old["scopes"]), old["limit"], old["lifetime"]
        )
        issued = await _add(pool, grant)
        await pool.execute(_sql("replace_key"), id, issued.id, overlap)
        detail = {"new": issued.id, "overlap_seconds": overlap.total_seconds()}
        await _audit(pool, "api_key.rotate", id, by, detail)
    return issued


async def revoke(pool: Pool, id: str, *, keys: str | None = None, by: Asker = NOBODY) -> KeyRecord:
    """End a key for good. Raises KeyNotFound where there is none, or it was revoked before."""
    async with pool.transaction():
        row = await pool.fetchrow(_sql("revoke_key"), id, keys)
        if row is None:
            raise _not_found(id)
        await _audit(pool, "api_key.revoke", id, by, {})
    return _record(row)


async def find(pool: Pool, id: str) -> KeyRecord | None:
    """Return what is kept of a key, in force or not."""
    row = await pool.fetchrow(_sql("find_key"), id)
    return None if row is None else _record(row)


async def listed(
    pool: Pool,
    keys: str | None = None,
    *,
    owner: str | None = None,
    ended: bool = False,
    limit: int = 100,
    after: str | None = None,
) -> list[KeyRecord]:
    """Return keys, the latest first: those in force, with `ended` all; `after` is the last id of the page before."""
    return [_record(row) for row in await pool.fetch(_sql("list_keys"), keys, owner, ended, after, limit)]


async def read(session: Session, keys: str, ids: Sequence[str]) -> Mapping[str, Row]:
    """Return what is known of the keys of a declaration with these ids. Raises StoreDown."""
    rows = await session.fetch("read_keys", ids)
    return {row["id"]: _row(row) for row in rows if row["keys"] == keys}


async def touch(session: Session, used: Mapping[str, float]) -> None:
    """Note how many seconds ago keys were last used. Raises StoreDown."""
    await session.fetch("touch_keys", list(used), list(used.values()))


async def _add(pool: Pool, grant: Grant) -> IssuedKey:
    for _ in range(_ATTEMPTS):
        new: NewKey = make(grant.prefix)
        row = await pool.fetchrow(
            _sql("add_key"), new.id, new.digest, grant.keys, grant.name, grant.owner, list(grant.scopes), grant.limit,
            grant.lifetime,
        )  # fmt: skip
        if row is not None:
            return IssuedKey(new.text, _record(row))
    raise KeyNotFound(f"no id came free in {_ATTEMPTS} attempts, which is beyond chance; look at roadworthy.api_keys")


async def _audit(pool: Pool, action: str, id: str, by: Asker, detail: Mapping[str, Any]) -> None:
    reason = {} if by.reason is None else {"reason": by.reason}
    await audit.record(pool, action, id, actor=by.actor, origin=by.origin, detail={**detail, **reason})


def _not_found(id: str) -> KeyNotFound:
    return KeyNotFound(f"no API key in force has the id {id!r}; `roadworthy keys list --all` tells which there were")


def _record(row: Record) -> KeyRecord:
    return KeyRecord(
        row["id"], row["keys"], row["name"], row["owner"], tuple(row["scopes"]), row["limit"], row["created_at"],
        row["expires_at"], row["last_used_at"], row["revoked_at"], row["replaced_by"],
    )  # fmt: skip


def _row(row: Record) -> Row:
    key = ApiKey(
        row["id"], row["keys"], row["name"], row["owner"], frozenset(row["scopes"]), row["limit"], row["created_at"],
        row["expires_at"],
    )  # fmt: skip
    return Row(key, bytes(row["digest"]), row["revoked"], row["expires_in"])
