"""API keys and the audit on a real PostgreSQL: kept, changed, verified by several processes, and told of for good."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from roadworthy import (
    DeclarationError,
    KeyNotFound,
    KeyRefused,
    NotRunning,
    Service,
    days,
    load_queries,
    minutes,
    seconds,
    testing,
)
from roadworthy.binding import Binding
from roadworthy.database import driver
from roadworthy.runtime import lifecycle
from roadworthy.security.audit import AuditFilter, read
from roadworthy.security.presented import ApiKey

service = Service("shop")
database = service.database()
keys = service.api_keys(prefix="shop", scopes=("read", "write"), lifetime=days(30))
GENEROUS = 10
"""How many times as long as promised a busy machine may take."""


@pytest.fixture
async def running() -> AsyncIterator[str]:
    """The service on a database of its own, of which this is the DSN."""
    async with testing.database(service) as dsn, lifecycle.opened(service.spec, dsn) as binding, service.bind(binding):
        yield dsn


@asynccontextmanager
async def another_process(dsn: str) -> AsyncIterator[Binding]:
    async with lifecycle.opened(service.spec, dsn) as binding:
        yield binding


async def _refused(secret: str, why: str) -> None:
    """Wait until a key works no more; `why` is what it is told then."""
    async with asyncio.timeout(60):
        with pytest.raises(KeyRefused, match=why):
            while await keys.verify(secret):
                await asyncio.sleep(0.02)


async def _actions() -> list[tuple[str, str, str]]:
    entries = await read(service.binding("test").pool)
    return [(entry.action, entry.subject, entry.actor) for entry in entries]


async def test_a_key_from_its_issue_to_its_end(running: str) -> None:
    issued = await keys.issue("export", owner="acme", scopes=("read", "read"), limit="10/minute", actor="ann")
    verified = await keys.verify(issued.secret, "read")
    assert (verified.id, verified.owner, verified.scopes) == (issued.id, "acme", {"read"})
    assert verified.limit == "10/minute"
    assert issued.record.expires_at == issued.record.created_at + days(30)
    with pytest.raises(KeyRefused, match="lacks the scope write"):
        await keys.verify(issued.secret, "write")
    assert [record.id for record in await keys.list(owner="acme")] == [issued.id]
    assert await keys.list(owner="else") == []
    revoked = await keys.revoke(issued.id, actor="bob")
    assert revoked.revoked_at is not None
    with pytest.raises(KeyRefused, match="revoked"):
        await keys.verify(issued.secret)
    with pytest.raises(KeyNotFound, match=issued.id):
        await keys.revoke(issued.id, actor="bob")
    assert await keys.list() == []
    assert [record.id for record in await keys.list(ended=True)] == [issued.id]
    assert await _actions() == [("api_key.revoke", issued.id, "bob"), ("api_key.issue", issued.id, "ann")]


async def test_nothing_that_is_kept_is_the_key(running: str) -> None:
    issued = await keys.issue("export", actor="ann")
    rows = await database.fetch(
        "SELECT k::text FROM roadworthy.api_keys k UNION ALL SELECT a::text FROM roadworthy.audit a"
    )
    secret = issued.secret[len(issued.id) + 1 :]
    assert not [row for row in rows if secret in row[0]]
    assert secret not in repr(issued)


async def test_a_key_is_replaced_while_both_work(running: str) -> None:
    old = await keys.issue("export", owner="acme", scopes=("read",), limit="10/minute", lifetime=days(90), actor="ann")
    new = await keys.rotate(old.id, overlap=seconds(2), actor="ann")
    assert (await keys.verify(old.secret)).owner == (await keys.verify(new.secret)).owner == "acme"
    for field in ("name", "owner", "scopes", "limit", "keys"):
        assert getattr(new.record, field) == getattr(old.record, field)
    assert new.record.expires_at == new.record.created_at + days(90)
    with pytest.raises(KeyNotFound, match=new.id):
        await keys.rotate(old.id, actor="ann")
    await _refused(old.secret, "past its time")
    assert await keys.verify(new.secret)
    newest = await keys.rotate(new.id, overlap=timedelta(0), actor="ann")
    with pytest.raises(KeyRefused, match="revoked"):
        await keys.verify(new.secret)
    assert await keys.verify(newest.secret)
    with pytest.raises(KeyNotFound):
        await keys.rotate("shop_00000000", actor="ann")


async def test_two_rotations_at_once_make_one_key(running: str) -> None:
    old = await keys.issue("export", actor="ann")
    rotations = await asyncio.gather(*(keys.rotate(old.id, actor="ann") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, KeyNotFound) for one in rotations) == 4
    assert len(await keys.list()) == 2


async def test_a_change_belongs_to_the_callers_transaction(running: str) -> None:
    kept = await keys.issue("kept", actor="ann")
    await keys.verify(kept.secret)
    with pytest.raises(RuntimeError, match="no"):
        async with database.transaction():
            await keys.revoke(kept.id, actor="ann")
            lost = await keys.issue("lost", actor="ann")
            await service.audit("account.delete", "acme", actor="ann")
            raise RuntimeError("no")
    assert await keys.verify(kept.secret)
    with pytest.raises(KeyRefused, match="not known"):
        await keys.verify(lost.secret)
    assert [action for action, _, _ in await _actions()] == ["api_key.issue"]
    async with database.transaction():
        await keys.revoke(kept.id, actor="ann")
        assert await keys.verify(kept.secret), "not yet"
    with pytest.raises(KeyRefused, match="revoked"):
        await keys.verify(kept.secret)


async def test_what_cannot_be_issued_is_refused(running: str) -> None:
    with pytest.raises(DeclarationError, match="admin"):
        await keys.issue("export", scopes=("admin",), actor="ann")
    with pytest.raises(DeclarationError, match="many"):
        await keys.issue("export", limit="many", actor="ann")
    with pytest.raises(DeclarationError, match="1 to 200"):
        await keys.issue("", actor="ann")
    with pytest.raises(DeclarationError, match="overlap"):
        await keys.rotate("shop_00000000", overlap=days(9999), actor="ann")
    with pytest.raises(ValueError, match="actor"):
        await keys.issue("export")
    assert await database.fetchval("SELECT count(*) FROM roadworthy.api_keys") == 0


async def test_outside_a_running_service_nothing_is_known() -> None:
    with pytest.raises(NotRunning, match="API keys 'api'"):
        await keys.verify("shop_x")
    with pytest.raises(NotRunning):
        await keys.issue("export")


async def test_a_key_of_another_declaration_is_not_changed_here(running: str) -> None:
    await database.execute(
        "INSERT INTO roadworthy.api_keys (id, digest, keys, name) VALUES ('adm_00000000', $1, 'admin', 'x')", bytes(32)
    )
    with pytest.raises(KeyNotFound):
        await keys.revoke("adm_00000000", actor="ann")
    assert await keys.list() == []


async def test_a_revoked_key_stops_working_in_every_process_within_a_second(running: str) -> None:
    issued = await keys.issue("export", actor="ann")
    async with another_process(running) as one, another_process(running) as two:
        verifiers = [one.api_keys["api"], two.api_keys["api"]]  # type: ignore[index]
        for verifier in verifiers:
            assert isinstance(await verifier.verify(issued.secret), ApiKey)
        await keys.revoke(issued.id, actor="ann")
        began = time.monotonic()
        answers: list[object] = []
        while answers != ["revoked", "revoked"]:
            await asyncio.sleep(0.01)
            answers = [await verifier.verify(issued.secret) for verifier in verifiers]
            assert time.monotonic() - began < GENEROUS * 1.0
        for _ in range(20):
            assert [await verifier.verify(issued.secret) for verifier in verifiers] == ["revoked", "revoked"]


async def test_a_change_by_hand_counts_too(running: str) -> None:
    issued = await keys.issue("export", actor="ann")
    await keys.verify(issued.secret)
    await database.execute("DELETE FROM roadworthy.api_keys")
    await _refused(issued.secret, "not known")


async def test_a_lost_connection_loses_no_request_and_no_revocation(running: str) -> None:
    issued = await keys.issue("export", actor="ann")
    cut = 0
    for round in range(15):
        assert await keys.verify(issued.secret)
        if round % 3 == 1:
            cut += await database.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'roadworthy keys' AND datname = current_database()"
            )
        await asyncio.sleep(0.12)
    assert cut >= 2
    await database.execute("UPDATE roadworthy.api_keys SET revoked_at = now()")
    await _refused(issued.secret, "revoked")


async def test_a_thousand_keys_in_use_are_read_by_index_in_few_statements(running: str) -> None:
    issued = [await keys.issue(f"key {n}", actor="ann") for n in range(50)]
    await database.execute(
        "INSERT INTO roadworthy.api_keys (id, digest, keys, name) "
        "SELECT 'other_' || lpad(n::text, 8, '0'), $1, 'api', 'x' FROM generate_series(1, 5000) AS n",
        bytes(32),
    )
    await asyncio.gather(*(keys.verify(key.secret) for key in issued))
    sessions = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name = 'roadworthy keys' AND datname = current_database()"
    )
    assert sessions == 1
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        sql = load_queries("roadworthy.security")["read_keys"]
        (plan,) = await connection.fetchrow(f"EXPLAIN (FORMAT JSON) {sql}", [key.id for key in issued])
    document = json.dumps(plan)
    assert "api_keys_pkey" in document
    assert "Seq Scan" not in document


async def test_when_a_key_was_last_used_is_kept_at_the_end(running: str) -> None:
    issued = await keys.issue("export", actor="ann")
    idle = await keys.issue("idle", actor="ann")
    async with another_process(running) as other:
        assert isinstance(await other.api_keys["api"].verify(issued.secret), ApiKey)  # type: ignore[index]
    used = {record.id: record.last_used_at for record in await keys.list()}
    assert used[idle.id] is None
    moment = used[issued.id]
    assert moment is not None
    assert abs(moment - issued.record.created_at) < minutes(1)


async def test_verifications_are_counted(running: str) -> None:
    issued = await keys.issue("export", actor="ann")
    for _ in range(3):
        await keys.verify(issued.secret)
    with pytest.raises(KeyRefused):
        await keys.verify("shop_x")
    counted = lambda outcome: testing.metric(  # noqa: E731
        service, "api_key_verifications_total", keys="api", outcome=outcome
    )
    assert (counted("accepted"), counted("malformed"), counted("revoked")) == (3, 1, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE roadworthy.audit SET actor = 'nobody'",
        "UPDATE roadworthy.audit SET actor = 'nobody' WHERE false",
        "DELETE FROM roadworthy.audit",
        "TRUNCATE roadworthy.audit",
        "SET session_replication_role = replica; DELETE FROM roadworthy.audit",
        "INSERT INTO roadworthy.audit (id, actor, action) OVERRIDING SYSTEM VALUE VALUES (1, 'x', 'x.y') "
        "ON CONFLICT (id) DO UPDATE SET actor = 'nobody'",
    ],
)
async def test_nothing_in_the_audit_can_be_changed(running: str, statement: str) -> None:
    await service.audit(
        "account.delete", "acme", actor="ann", origin="192.0.2.1", detail={"plan": "gold", "token": "x"}
    )
    connection = await driver.connect(running)
    try:
        with pytest.raises(driver.PostgresError, match="never changed"):
            await connection.execute(statement)
    finally:
        await driver.close(connection)
    (entry,) = await read(service.binding("test").pool)
    assert (entry.actor, entry.action, entry.subject, entry.origin) == ("ann", "account.delete", "acme", "192.0.2.1")
    assert entry.detail == {"plan": "gold", "token": "***"}


async def test_an_entry_that_says_nothing_is_refused(running: str) -> None:
    with pytest.raises(ValueError, match="words in dots"):
        await service.audit("Delete it", actor="ann")
    with pytest.raises(ValueError, match="actor"):
        await service.audit("account.delete")
    with pytest.raises(ValueError, match="subject"):
        await service.audit("account.delete", "x" * 1001, actor="ann")


async def test_the_audit_is_read_by_what_is_asked_for(running: str) -> None:
    pool = service.binding("test").pool
    for n in range(4):
        await service.audit("account.delete", f"account {n}", actor="ann" if n % 2 else "bob")
    await service.audit("accounts.delete", "all", actor="bob")
    newest, *_ = await read(pool, limit=1)
    assert newest.action == "accounts.delete"
    assert len(await read(pool, AuditFilter(action="account"))) == 4
    assert len(await read(pool, AuditFilter(action="account.delete", actor="bob"))) == 2
    assert [entry.subject for entry in await read(pool, AuditFilter(subject="account 2"))] == ["account 2"]
    assert len(await read(pool, before=newest.id)) == 4
    assert len(await read(pool, AuditFilter(since=newest.at))) == 1


async def test_what_is_done_to_jobs_by_hand_is_in_the_audit(running: str) -> None:
    engine = service.binding("test").engine
    await engine.dead_letters.note("pause", {"queue": "mail"}, asked=1, changed=1, who="ann", reason="it is down")
    await engine.dead_letters.note("odd-Name", {}, asked=0, changed=0, who="", reason=None)
    odd, entry = await read(service.binding("test").pool, AuditFilter(action="jobs"))
    assert (entry.action, entry.actor) == ("jobs.pause", "ann")
    assert entry.detail["reason"] == "it is down"
    assert odd.action == "jobs.odd_name"
