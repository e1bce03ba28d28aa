"""Row-level security of PostgreSQL: on whose behalf a transaction reads, and what would show more than its policies.

The setting and the role end with their transaction, so the connection's next borrower begins without them. What is
left of the setting then is '' and not NULL, so policies have to treat both as nobody: they compare with
`nullif(current_setting(…, true), '')`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roadworthy.database.queries import load_queries

if TYPE_CHECKING:
    from roadworthy.database.driver import Connection

_SETTING = re.compile(r"[a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)+")
_ROLE = re.compile(r"[a-z_][a-z0-9_$]*")

_queries = load_queries("roadworthy.security", "row_security.sql")

_WHY: Mapping[str, str] = {
    "evades": "passes by every policy; take SUPERUSER and BYPASSRLS from it, or connect as another role",
    "open": "has no row-level security; ALTER TABLE … ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "unforced": "shows its owner every row; ALTER TABLE … FORCE ROW LEVEL SECURITY",
    "truncated": "can be emptied past its policies; REVOKE TRUNCATE",
    "everything": "has a policy that lets every row through; compare with the tenant, or exempt it",
    "owner": "reads with its owner's rights; make it WITH (security_invoker = true), or exempt it once it is proven",
    "materialized": "has no policies; REVOKE SELECT, and show it through a view with the same rule",
    "foreign": "has no policies; REVOKE SELECT",
    "definer": "runs with its owner's rights and the caller's search_path; pin it with SET search_path",
}


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that may show a role more than its policies: the name and kind of it, and why, with the remedy."""

    name: str
    kind: str
    why: str

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.kind} {self.name} {self.why}"


async def enter(connection: Connection, tenant: str, setting: str, role: str | None) -> None:
    """Have the current transaction read on behalf of `tenant`, as policies see it in `setting`, under `role`.

    Raises ValueError for a tenant that is nobody, or for what is no setting of one's own or no role.
    """
    if not tenant or "\x00" in tenant:
        raise ValueError("the tenant is empty, which policies take for nobody; pass whose rows these are")
    if not _SETTING.fullmatch(setting):
        raise ValueError(f"setting {setting!r} is none of one's own; name it with a dot, as 'shop.tenant'")
    if role is None:
        await connection.execute(_queries["set"], setting, tenant)
        return
    if not _ROLE.fullmatch(role) or role == "none":
        raise ValueError(f"role {role!r} is none that can be taken; write its name in lower case")
    await connection.execute(_queries["become"], setting, tenant, role)


async def leaks(connection: Connection, role: str | None, exempt: Collection[str]) -> tuple[Leak, ...]:
    """Return what may show `role` (that of the connection by default) more than its policies do, but for `exempt`.

    It looks at what the role can reach: tables without row-level security, unforced, or with a policy that lets every
    row through; views that read as their owner; materialised views and foreign tables; functions that run as their
    owner with the caller's search path; and at the role itself. Names are as PostgreSQL writes them: with the schema
    where that is not in the search path.

    Raises ValueError where there is no such role.
    """
    if role is not None and not await connection.fetchval(_queries["role_exists"], role):
        raise ValueError(f"there is no role {role!r} here; name one that the service's transactions take")
    rows = await connection.fetch(_queries["leaks"], role)
    return tuple(Leak(row["name"], row["kind"], _WHY[row["why"]]) for row in rows if row["name"] not in exempt)
