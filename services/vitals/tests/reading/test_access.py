"""Whose rows a request can read: its own, or a trainer's clients', by no table, view, function, plan or trick more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import asyncpg
import pytest
from people import add_trainer, add_user, confide, key_of, observe

from roadworthy import Service
from vitals.reading import access, latest
from vitals.reading.access import digest_of, reading_as
from vitals.service import database

MARK = 4242.25
"""A value that only Bob has."""

SELECTABLE = """
SELECT c.oid::regclass::text AS name, c.relkind::text AS kind, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
       EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e') AS of_an_extension
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
  AND has_any_column_privilege('vitals_reader', c.oid, 'SELECT')
"""


@dataclass(frozen=True)
class People:
    """Two users who share nothing, and a trainer of one of them."""

    ada: int
    bob: int
    trainer: int
    ada_key: str
    bob_key: str
    trainer_key: str


@pytest.fixture
async def people(running: Service) -> People:
    ada, bob = await add_user("ada"), await add_user("bob", "Bob Secret")
    trainer = await add_trainer("tim", bob)
    await observe(ada, "weight", "manual", 60.5)
    for metric in ("weight", "steps"):
        await observe(bob, metric, "manual", MARK)
        await confide(bob, metric, "manual", 77)
    await latest.refresh(database, force=True)
    return People(
        ada, bob, trainer, await key_of("user", "ada"), await key_of("user", "bob"), await key_of("trainer", "tim")
    )


async def rows(key: str, sql: str, *arguments: Any) -> list[Any]:
    async with reading_as(database, key) as connection:
        return [dict(row) for row in await connection.fetch(sql, *arguments)]


async def everything(key: str) -> dict[str, list[Any]]:
    """Return all that a key's holder can select, by relation."""
    names = [row["name"] for row in await database.fetch(SELECTABLE)]
    return {name: await rows(key, f"SELECT * FROM {name}") for name in names}  # noqa: S608 (from the catalogue)


async def test_a_user_reads_her_own_rows_and_a_trainer_his_clients(people: People) -> None:
    seen = await everything(people.ada_key)
    assert {row["user_id"] for row in seen["observations"]} == {people.ada}
    assert [row["id"] for row in seen["users"]] == [people.ada]
    assert [(row["user_id"], row["value"]) for row in seen["latest_metrics"]] == [(people.ada, 60.5)]
    assert seen["confidences"] == seen["trainers"] == seen["trainer_clients"] == []
    assert seen["viewer"] == [{"kind": "user", "id": people.ada, "name": "Ada"}]
    seen = await everything(people.trainer_key)
    assert {row["user_id"] for row in seen["observations"]} == {people.bob}
    assert {row["value"] for row in seen["latest_metrics"]} == {MARK}
    assert [row["id"] for row in seen["users"]] == [people.bob]
    assert seen["viewer"] == [{"kind": "trainer", "id": people.trainer, "name": "Tim"}]


async def test_nothing_selectable_shows_another_user(people: People) -> None:
    for name, found in (await everything(people.ada_key)).items():
        shown = repr(found)
        assert "bob" not in shown.lower(), name
        assert str(MARK) not in shown, name
        assert not [row for row in found if row.get("user_id") == people.bob], name


async def test_no_key_or_a_wrong_one_sees_nothing(people: People) -> None:
    for key in ("", "vitals_", people.ada_key + "x", digest_of(people.ada_key)):
        seen = await everything(key)
        assert {name for name, found in seen.items() if found and "pg_stat" not in name} == {"metrics", "sources"}
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL ROLE vitals_reader")
        assert await connection.fetchval("SELECT count(*) FROM observations") == 0
        assert await connection.fetchval("SELECT count(*) FROM latest_metrics") == 0


async def test_a_key_ends_when_it_is_revoked_or_its_time_is_over(people: People) -> None:
    assert await access.revoke(database, people.ada_key)
    assert not await access.revoke(database, people.ada_key)
    assert await rows(people.ada_key, "SELECT * FROM users") == []
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = await access.issue(database, "user", "bob", expires_at=past)
    assert expired is not None
    assert await rows(expired, "SELECT * FROM users") == []
    assert await access.issue(database, "trainer", "nobody") is None


async def test_a_trainer_loses_sight_of_who_is_no_client_any_more(people: People) -> None:
    await database.execute("DELETE FROM trainer_clients")
    assert await rows(people.trainer_key, "SELECT * FROM latest_metrics") == []


async def test_a_key_is_kept_as_a_digest_alone(people: People) -> None:
    kept = repr(await database.fetch("SELECT * FROM public.api_keys"))
    assert people.ada_key.removeprefix(access.PREFIX) not in kept


async def test_nothing_leaks(running: Service) -> None:
    # What is measured, by what, is no secret; the views apply the policies' own rule behind a barrier.
    leaks = await database.leaks(role="vitals_reader", exempt={"metrics", "sources", "latest_metrics", "viewer"})
    assert [str(leak) for leak in leaks] == []


async def test_every_relation_is_protected(running: Service) -> None:
    relations = await database.fetch(
        """
        SELECT c.oid::regclass::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS safe
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('public', 'internal') AND c.relkind IN ('r', 'p', 'f')
        """
    )
    assert [row["name"] for row in relations if not row["safe"]] == [], "ENABLE and FORCE ROW LEVEL SECURITY on these"
    open_to_all = [
        row["name"]
        for row in await database.fetch(SELECTABLE)
        if not (
            row["of_an_extension"]
            or (row["kind"] in "rp" and row["relrowsecurity"] and row["relforcerowsecurity"])
            or (row["kind"] == "v" and "security_barrier=true" in (row["reloptions"] or ()))
        )
    ]
    assert open_to_all == []


async def test_the_role_owns_nothing_writes_nothing_and_evades_nothing(running: Service) -> None:
    role = await database.fetchrow("SELECT * FROM pg_roles WHERE rolname = 'vitals_reader'")
    assert role is not None
    powers = ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication", "rolcanlogin")
    assert not [power for power in powers if role[power]]
    assert await database.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = 'vitals_reader'::regrole") == 0
    assert await database.fetchval("SELECT count(*) FROM pg_class WHERE relowner = 'vitals_reader'::regrole") == 0
    writable = await database.fetch(
        """
        SELECT c.oid::regclass::text AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('public', 'internal', 'roadworthy') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND (has_table_privilege('vitals_reader', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')
               OR has_any_column_privilege('vitals_reader', c.oid, 'INSERT, UPDATE'))
        """
    )
    assert writable == []
    for schema in ("public", "internal", "roadworthy"):
        assert not await database.fetchval("SELECT has_schema_privilege('vitals_reader', $1, 'CREATE')", schema)
    for schema in ("internal", "roadworthy"):
        assert not await database.fetchval("SELECT has_schema_privilege('vitals_reader', $1, 'USAGE')", schema)


async def test_what_runs_with_the_owners_rights_is_known_and_pinned(running: Service) -> None:
    definers = await database.fetch(
        """
        SELECT p.oid::regprocedure::text AS name, p.proconfig FROM pg_proc AS p
        JOIN pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosecdef
          AND has_function_privilege('vitals_reader', p.oid, 'EXECUTE')
        """
    )
    assert {row["name"] for row in definers} == {
        "internal.viewer()",
        "internal.visible_users()",
        "internal.visible_trainer()",
    }
    assert all(row["proconfig"] == ["search_path=pg_catalog, pg_temp"] for row in definers)


REFUSED = (
    "SELECT * FROM internal.latest_unified_metrics",
    "SELECT internal.visible_users()",
    "SELECT * FROM api_keys",
    "SELECT * FROM webhook_events",
    "SELECT * FROM runs",
    "SELECT * FROM roadworthy.jobs",
    "REFRESH MATERIALIZED VIEW internal.latest_unified_metrics",
    "INSERT INTO trainer_clients VALUES (1, 1)",
    "UPDATE observations SET user_id = 1",
    "DELETE FROM observations",
    "TRUNCATE observations",
    "ALTER TABLE observations DISABLE ROW LEVEL SECURITY",
    "DROP POLICY people ON observations",
    "CREATE POLICY mine ON observations USING (true)",
    "CREATE OR REPLACE FUNCTION internal.visible_users() RETURNS bigint[] RETURN ARRAY[2::bigint]",
    "CREATE TABLE public.mine (id int)",
    "CREATE FUNCTION public.mine() RETURNS int RETURN 1",
    "CREATE OR REPLACE VIEW latest_metrics AS SELECT * FROM internal.latest_unified_metrics",
    "GRANT SELECT ON api_keys TO vitals_reader",
    "COPY api_keys TO STDOUT",
    "COPY internal.latest_unified_metrics TO STDOUT",
    "COPY observations TO PROGRAM 'cat'",
    "SELECT last_value FROM users_id_seq",
    "SELECT nextval('users_id_seq')",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT starelid FROM pg_statistic",
    "SELECT rolname FROM pg_authid",
)


async def test_what_the_role_may_not_even_try(people: People) -> None:
    tried: list[str] = []
    for sql in REFUSED:
        try:
            await rows(people.ada_key, sql)
            tried.append(sql)
        except asyncpg.InsufficientPrivilegeError:
            continue
    assert tried == []


async def test_switching_row_security_off_is_an_error_not_a_way_around(people: People) -> None:
    async with reading_as(database, people.ada_key) as connection:
        await connection.execute("SET LOCAL row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.fetch("SELECT * FROM observations")


async def test_copy_obeys_the_policies(people: People) -> None:
    async with reading_as(database, people.ada_key) as connection:
        for source in ("observations", "users", "confidences"):
            out = BytesIO()
            await connection.copy_from_table(source, output=out)
            assert str(MARK).encode() not in out.getvalue()
            assert b"bob" not in out.getvalue().lower()
        out = BytesIO()
        await connection.copy_from_query("SELECT * FROM latest_metrics", output=out)
        assert out.getvalue().count(b"\n") == 1


TELL = """
CREATE FUNCTION pg_temp.tell(double precision) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
$$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$
"""
LEAKS = (
    "SELECT * FROM {relation} WHERE pg_temp.tell(value)",
    "SELECT * FROM {relation} WHERE user_id = {other} AND pg_temp.tell(value)",
    "SELECT 1 FROM {relation} AS a JOIN {relation} AS b ON pg_temp.tell(b.value)",
    "SELECT 1 FROM {relation} WHERE 1 / (value - 4242.25) <> 0",
    "SELECT 1 FROM {relation} WHERE user_id = {other} AND value::text::date IS NULL",
    "SELECT 1 FROM {relation} ORDER BY pg_temp.tell(value)",
    "SELECT count(*) FILTER (WHERE pg_temp.tell(value)) FROM {relation}",
)


async def test_a_function_that_tells_what_it_sees_sees_no_rows_of_others(people: People) -> None:
    told: list[str] = []

    def listen(_: object, message: object) -> None:
        told.append(str(message))

    async with reading_as(database, people.ada_key) as connection:
        connection.add_log_listener(listen)
        await connection.execute(TELL)
        for relation in ("observations", "latest_metrics"):
            for leak in LEAKS:
                await connection.fetch(leak.format(relation=relation, other=people.bob))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.transaction():
                await connection.execute("ALTER FUNCTION pg_temp.tell(double precision) LEAKPROOF")
        await asyncio.sleep(0)
        connection.remove_log_listener(listen)
    assert [message for message in told if "saw 60.5" in message]
    assert not [message for message in told if str(MARK) in message]


async def test_plans_and_statistics_tell_nothing_of_others(people: People) -> None:
    await database.execute("ANALYZE")
    async with reading_as(database, people.ada_key) as connection:
        statistics = await connection.fetch(
            "SELECT s::text FROM pg_stats AS s WHERE schemaname IN ('public', 'internal')"
        )
        assert str(MARK) not in repr(statistics)
        activity = await connection.fetch("SELECT query FROM pg_stat_activity WHERE datname = current_database()")
        assert {row["query"] for row in activity} == {"<insufficient privilege>"}
        await connection.execute("SET LOCAL enable_seqscan = off")
        for relation in ("observations", "latest_metrics"):
            plan = await connection.fetch(
                f"EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT * FROM {relation} WHERE user_id = $1",  # noqa: S608
                people.bob,
            )
            text = "\n".join(row[0] for row in plan)
            assert "Removed by" not in text, text
            assert str(MARK) not in text


async def test_another_tenant_cannot_be_set_by_sql(people: People) -> None:
    async with reading_as(database, people.ada_key) as connection:
        for forged in (str(people.bob), "", digest_of("vitals_guess"), f"{people.bob:064x}"):
            await connection.execute("SELECT set_config('vitals.key_digest', $1, true)", forged)
            assert await connection.fetchval("SELECT count(*) FROM observations") == 0


async def test_a_connection_carries_nothing_over_to_its_next_borrower(people: People) -> None:
    async with reading_as(database, people.bob_key) as connection:
        pid = connection.get_server_pid()
    with pytest.raises(ZeroDivisionError):
        async with reading_as(database, people.bob_key):
            raise ZeroDivisionError
    with pytest.raises(asyncpg.UndefinedTableError):
        await rows(people.bob_key, "SELECT * FROM nothing")
    again = 0
    for _ in range(20):
        async with database.acquire() as connection:
            again += connection.get_server_pid() == pid
            row = await connection.fetchrow(
                "SELECT current_user = session_user AS own, current_setting('vitals.key_digest', true) AS digest"
            )
            assert row is not None
            assert (row["own"], row["digest"] or None) == (True, None)
    assert again


async def test_one_prepared_statement_serves_all_without_mixing_them(people: People) -> None:
    sql = "SELECT value FROM observations WHERE metric = $1 ORDER BY value"
    for _ in range(8):
        for key, expected in (
            (people.ada_key, [60.5]),
            (people.bob_key, [MARK]),
            (people.trainer_key, [MARK]),
            ("vitals_none", []),
        ):
            assert [row["value"] for row in await rows(key, sql, "weight")] == expected
    both = await asyncio.gather(
        *(rows(key, sql, "weight") for key in [people.ada_key, people.bob_key, people.trainer_key] * 10)
    )
    assert [row[0]["value"] for row in both] == [60.5, MARK, MARK] * 10
