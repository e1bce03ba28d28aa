"""The service as it runs in production: its own role owns the tables, and is no superuser, so that FORCE binds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from people import add_user, key_of, observe

from roadworthy import MigrationError, testing
from vitals.reading import latest
from vitals.reading.access import reading_as
from vitals.service import database, service

OWNER = "vitals_test_owner"


@pytest.fixture
async def dsn() -> AsyncIterator[str]:
    """The DSN of an empty database that belongs to a role without powers, prepared as the README says."""
    async with testing.database(service) as admins:
        name = f"owned_{urlsplit(admins).path.strip('/')}"
        admin = await asyncpg.connect(admins)
        await admin.execute(f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER NOBYPASSRLS")
        await admin.execute(f"GRANT vitals_reader TO {OWNER} WITH INHERIT FALSE, SET TRUE")
        await admin.execute(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0")
        parts = urlsplit(admins)
        try:
            yield urlunsplit(parts._replace(netloc=f"{OWNER}@{parts.netloc.rpartition('@')[2]}", path=f"/{name}"))
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await admin.execute(f"DROP ROLE {OWNER}")
            await admin.close()


async def test_it_says_what_an_administrator_must_do_first(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    async with testing.database(service) as admins:
        admin = await asyncpg.connect(admins)
        await admin.execute(f"REVOKE vitals_reader FROM {OWNER}")
        await admin.close()
    with pytest.raises(MigrationError, match=f"GRANT vitals_reader TO {OWNER} WITH INHERIT FALSE, SET TRUE"):
        async with service.running():
            pass


async def test_an_owner_without_powers_is_enough_and_is_bound_by_force(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    async with service.running():
        ada, bob = await add_user("ada"), await add_user("bob")
        for user in (ada, bob):
            await observe(user, "weight", "manual", 70)
        assert await latest.refresh(database, force=True) == "refreshed"
        async with reading_as(database, await key_of("user", "ada")) as connection:
            rows = await connection.fetch(
                "SELECT user_id FROM latest_metrics UNION ALL SELECT user_id FROM observations"
            )
            assert [row["user_id"] for row in rows] == [ada, ada]
        assert (
            await database.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = CURRENT_USER")
            is False
        )
        assert await database.fetchval("SELECT count(*) FROM observations") == 2
        await database.execute("DROP POLICY service ON observations")
        assert await database.fetchval("SELECT count(*) FROM observations") == 0
