"""Row-level security: a transaction acts for one tenant and leaves nothing behind, and what leaks is found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from roadworthy import Database, Service, testing
from roadworthy.cli.main import main

MIGRATION = """
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant text NOT NULL, text text NOT NULL);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenants ON notes
    USING (tenant = nullif(current_setting('roadworthy.tenant', true), ''))
    WITH CHECK (tenant = nullif(current_setting('roadworthy.tenant', true), ''));

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'row_security_reader') THEN
        CREATE ROLE row_security_reader NOLOGIN NOINHERIT;
    END IF;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO row_security_reader;
"""
READER = "row_security_reader"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "0001_notes.sql").write_text(MIGRATION)
    service = Service("notes")
    service.database(migrations=tmp_path)
    return service


@pytest.fixture
async def database(service: Service) -> AsyncIterator[Database]:
    database = Database(service, service.spec.database)  # type: ignore[arg-type]
    async with testing.running(service):
        for tenant in ("ada", "bob"):
            async with database.tenant(tenant, role=READER) as connection:
                await connection.execute("INSERT INTO notes (tenant, text) VALUES ($1, 'mine')", tenant)
        yield database


async def seen(database: Database, tenant: str) -> list[str]:
    async with database.tenant(tenant, role=READER):
        return [row["tenant"] for row in await database.fetch("SELECT tenant FROM notes")]


async def test_each_tenant_sees_her_own_rows_alone(database: Database) -> None:
    assert await seen(database, "ada") == ["ada"]
    assert await seen(database, "bob") == ["bob"]
    assert await seen(database, "nobody") == []
    many = await asyncio.gather(*(seen(database, tenant) for tenant in ("ada", "bob") * 10))
    assert many == [["ada"], ["bob"]] * 10


async def test_a_tenant_writes_her_own_rows_alone(database: Database) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with database.tenant("ada", role=READER) as connection:
            await connection.execute("INSERT INTO notes (tenant, text) VALUES ('bob', 'forged')")
    async with database.tenant("ada", role=READER) as connection:
        assert await connection.execute("UPDATE notes SET text = 'changed'") == "UPDATE 1"
        assert await connection.execute("DELETE FROM notes WHERE tenant = 'bob'") == "DELETE 0"


async def test_the_next_borrower_of_the_connection_is_nobody(database: Database) -> None:
    async with database.tenant("ada", role=READER) as connection:
        pid = connection.get_server_pid()
    with pytest.raises(ZeroDivisionError):
        async with database.tenant("ada", role=READER):
            raise ZeroDivisionError
    again = 0
    for _ in range(10):
        async with database.acquire() as connection:
            again += connection.get_server_pid() == pid
            # Not NULL: the setting is known to the session from now on, and empty.
            assert not await connection.fetchval("SELECT current_setting('roadworthy.tenant', true)")
            assert await connection.fetchval("SELECT current_user = session_user")
            await connection.execute(f"SET ROLE {READER}")
            assert await connection.fetch("SELECT * FROM notes") == []
            await connection.execute("RESET ROLE")
    assert again


async def test_a_transaction_that_is_under_way_becomes_no_tenants(database: Database) -> None:
    async with database.transaction():
        with pytest.raises(RuntimeError, match="inside a transaction"):
            async with database.tenant("ada"):
                pass


@pytest.mark.parametrize(
    ("tenant", "options"),
    [
        ("", {}),
        ("a\x00", {}),
        ("ada", {"setting": "search_path"}),
        ("ada", {"setting": "shop.tenant; DROP TABLE notes"}),
        ("ada", {"role": "none"}),
        ("ada", {"role": "Reader; RESET ROLE"}),
    ],
)
async def test_what_is_no_tenant(database: Database, tenant: str, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"tenant|setting|role"):
        async with database.tenant(tenant, **options):
            pass


async def test_what_is_protected_does_not_leak(database: Database) -> None:
    assert await database.leaks(role=READER) == ()
    # The login of a test is a superuser.
    assert "passes by every policy" in str(await database.leaks())


LEAKING = [
    ("ALTER TABLE notes NO FORCE ROW LEVEL SECURITY", "notes", "shows its owner every row"),
    ("ALTER TABLE notes DISABLE ROW LEVEL SECURITY", "notes", "has no row-level security"),
    ("CREATE POLICY open ON notes FOR SELECT TO row_security_reader USING (true)", "notes", "lets every row through"),
    ("CREATE POLICY open ON notes FOR SELECT USING (true)", "notes", "lets every row through"),
    ("GRANT TRUNCATE ON notes TO row_security_reader", "notes", "can be emptied"),
    (
        "CREATE TABLE public.more (id int); GRANT SELECT (id) ON more TO row_security_reader",
        "more",
        "has no row-level security",
    ),
    ("CREATE VIEW public.shown AS SELECT * FROM notes; GRANT SELECT ON shown TO PUBLIC", "shown", "security_invoker"),
    (
        "CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM notes; GRANT SELECT ON kept TO row_security_reader",
        "kept",
        "has no policies",
    ),
    (
        "CREATE FUNCTION public.all_notes() RETURNS SETOF notes LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM notes'",
        "all_notes()",
        "pin it with SET search_path",
    ),
]


@pytest.mark.parametrize(("sql", "name", "why"), LEAKING)
async def test_what_leaks_is_found(database: Database, sql: str, name: str, why: str) -> None:
    await database.execute(sql)
    found = await database.leaks(role=READER)
    assert [leak.name for leak in found] == [name] * len(found)
    assert any(why in str(leak) for leak in found)
    assert await database.leaks(role=READER, exempt={name}) == ()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE public.hidden (id int)",
        "CREATE VIEW public.shown WITH (security_invoker) AS SELECT * FROM notes; GRANT SELECT ON shown TO PUBLIC",
        "CREATE POLICY service ON notes TO CURRENT_USER USING (true)",
        "CREATE POLICY narrow ON notes AS RESTRICTIVE FOR SELECT USING (true)",
        "CREATE FUNCTION public.one() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1'",
    ],
)
async def test_what_does_not_is_left_alone(database: Database, sql: str) -> None:
    await database.execute(sql)
    assert await database.leaks(role=READER) == ()


async def test_the_command_line_tells_of_leaks(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def told(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(main, ["database", "leaks", *arguments])
        return code, *capsys.readouterr()

    async with testing.database(service) as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        assert await told("--role", READER) == (0, "nothing shows more than its policies do\n", "")
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE more (id int); GRANT SELECT ON more TO row_security_reader")
        await connection.close()
        code, table, _ = await told("--role", READER)
        assert code == 1
        assert [line.split()[:2] for line in table.splitlines()] == [["KIND", "NAME"], ["table", "more"]]
        code, document, _ = await told("--role", READER, "--json")
        assert code == 1
        (leak,) = json.loads(document)["leaks"]
        assert (leak["kind"], leak["name"]) == ("table", "more")
        assert (await told("--role", READER, "--exempt", "more", "--json"))[0] == 0
        code, _, error = await told("--role", "nobody_at_all")
        assert (code, "there is no role 'nobody_at_all'" in error) == (2, True)
