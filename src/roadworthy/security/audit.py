"""The audit: who did what to what, when and from where. Entries are added in the caller's transaction, and stay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from roadworthy.database.queries import load_queries
from roadworthy.security.presented import CURRENT, ApiKey
from roadworthy.telemetry.logging import CONTEXT
from roadworthy.telemetry.masking import mask

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool

ACTION = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*")
"""What an action is called: words in dots, the widest first, as in "api_key.revoke"."""

_NEWEST = 2**63 - 1
_LONGEST = {"actor": 300, "action": 100, "subject": 1000, "origin": 100}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done. `origin` is the address that it was asked for from, `detail` whatever else matters."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    origin: str | None
    request_id: str | None
    detail: Any


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries: of an action or those below it, of a subject, an actor, from a time on."""

    action: str | None = None
    subject: str | None = None
    actor: str | None = None
    since: datetime | None = None


async def record(
    pool: Pool,
    action: str,
    subject: str = "",
    *,
    actor: str | None = None,
    origin: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry, in the current transaction where there is one; see `Service.audit`."""
    who = _actor(actor)
    for name, value in (("actor", who), ("action", action), ("subject", subject), ("origin", origin or "")):
        if len(value) > _LONGEST[name] or "\x00" in value:
            raise ValueError(f"the {name} of an audit entry holds {_LONGEST[name]} characters without NUL; shorten it")
    if not ACTION.fullmatch(action):
        raise ValueError(f"the action {action!r} of an audit entry is no words in dots; write it as 'api_key.revoke'")
    request_id = CONTEXT.get({}).get("request_id")
    masked = None if detail is None else mask("", dict(detail))
    await pool.execute(
        load_queries(__package__, "audit.sql")["add_entry"], who, action, subject, origin, request_id, masked
    )


def _actor(given: str | None) -> str:
    if given:
        return given
    key = CURRENT.get()
    if isinstance(key, ApiKey):
        return key.id
    raise ValueError("an audit entry has no actor: name who did it with actor=, for no API key did")


async def read(
    pool: Pool,
    filter: AuditFilter = AuditFilter(),
    *,
    limit: int = 50,
    before: int | None = None,
) -> list[AuditEntry]:
    """Return entries, the latest first; `before` is the last id of the page before."""
    rows = await pool.fetch(
        load_queries(__package__, "audit.sql")["read_entries"],
        filter.action,
        filter.subject,
        filter.actor,
        filter.since,
        _NEWEST if before is None else before,
        limit,
    )
    return [AuditEntry(**dict(row)) for row in rows]
