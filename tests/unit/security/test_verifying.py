"""Verifying from memory: how fresh that is, what costs the database how much, and what goes on while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import pytest

from roadworthy.outage import StoreDown
from roadworthy.security.key import NewKey, checksum, make
from roadworthy.security.keys_spec import ApiKeysSpec
from roadworthy.security.known_keys import ABSENT_SECONDS, FRESH_SECONDS, RENEW_SECONDS, KnownKeys, Row
from roadworthy.security.presented import ApiKey
from roadworthy.security.verifying import Verifier

SPEC = ApiKeysSpec("api", "shop", stale=timedelta(seconds=60))


class Table:
    """Keys in a database that can be away, or hang."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.rows: dict[str, Row] = {}
        self.reads: list[list[str]] = []
        self.touched: list[Mapping[str, float]] = []
        self.away = False
        self.hung: asyncio.Event | None = None

    def add(self, *, revoked: bool = False, expires_in: float | None = None) -> NewKey:
        made = make("shop")
        self.rows[made.id] = Row(_key(made.id), made.digest, revoked, expires_in)
        return made

    def revoke(self, key: NewKey) -> None:
        self.rows[key.id] = Row(_key(key.id), key.digest, True, None)

    async def read(self, ids: Sequence[str]) -> Mapping[str, Row]:
        self.reads.append(list(ids))
        if self.hung is not None:
            await self.hung.wait()
        if self.away:
            raise StoreDown("away")
        return {id: self.rows[id] for id in ids if id in self.rows}

    async def touch(self, used: Mapping[str, float]) -> None:
        if self.away:
            raise StoreDown("away")
        self.touched.append(dict(used))

    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0)


def _key(id: str) -> ApiKey:
    return ApiKey(id, "api", "test", "me", frozenset())


@pytest.fixture
def table() -> Table:
    return Table()


@contextmanager
def _verifier(table: Table, spec: ApiKeysSpec = SPEC) -> Iterator[Verifier]:
    verifier = Verifier(spec, table.read, table.touch, wait=0.02, clock=lambda: table.now, sleep=table.sleep)
    yield verifier


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_key_is_read_once_and_then_remembered(table: Table) -> None:
    key = table.add()
    with _verifier(table) as verifier:
        for _ in range(50):
            verdict = await verifier.verify(key.text)
            assert isinstance(verdict, ApiKey)
            assert verdict.id == key.id
    assert table.reads == [[key.id]]
    assert verifier.outcomes == {"accepted": 50}


async def test_those_who_come_together_are_read_together(table: Table) -> None:
    keys = [table.add() for _ in range(20)]
    with _verifier(table) as verifier:
        await asyncio.gather(*(verifier.verify(key.text) for key in keys for _ in range(5)))
    assert [len(ids) for ids in table.reads] == [20]


async def test_a_key_in_use_is_renewed_while_requests_go_on(table: Table) -> None:
    key = table.add()
    with _verifier(table) as verifier:
        await verifier.verify(key.text)
        for _ in range(10):
            table.now += RENEW_SECONDS + 0.01
            assert isinstance(verifier.recall(key.text), ApiKey), "nobody waits"
            await _settled()
    assert len(table.reads) == 11


async def test_a_revoked_key_is_not_gone_by_for_a_second(table: Table) -> None:
    key = table.add()
    with _verifier(table) as verifier:
        await verifier.verify(key.text)
        table.revoke(key)
        table.now += FRESH_SECONDS + 0.01
        assert await verifier.verify(key.text) == "revoked"
    assert FRESH_SECONDS < 1


async def test_a_key_that_is_forgotten_is_read_at_once(table: Table) -> None:
    key = table.add()
    with _verifier(table) as verifier:
        await verifier.verify(key.text)
        table.revoke(key)
        verifier.known.forget(key.id)
        assert await verifier.verify(key.text) == "revoked"


async def test_a_key_ends_when_its_time_is_over_not_when_it_is_read_next(table: Table) -> None:
    key = table.add(expires_in=0.3)
    with _verifier(table) as verifier:
        assert isinstance(await verifier.verify(key.text), ApiKey)
        table.now += 0.3
        assert await verifier.verify(key.text) == "expired"
    assert len(table.reads) == 1


async def test_what_is_no_key_costs_no_reading(table: Table) -> None:
    key = table.add()
    with _verifier(table) as verifier:
        for text in ("", "shop_", "x" * 100_000, key.text[:-1], key.text[:-1] + "!", "é" * 45):
            assert await verifier.verify(text) == "malformed"
    assert table.reads == []


async def test_a_wrong_secret_of_a_known_id_costs_no_reading(table: Table) -> None:
    key = table.add()
    with _verifier(table) as verifier:
        await verifier.verify(key.text)
        for _ in range(20):
            forged = make("shop").text
            body = key.id + forged[len(key.id) : -6]
            assert await verifier.verify(body + checksum(body)) == "unknown"
            assert await verifier.verify(body + "000000") in ("malformed", "unknown")
    assert len(table.reads) == 1


async def test_an_id_that_does_not_exist_is_not_asked_for_again_at_once(table: Table) -> None:
    nobodys = make("shop").text
    with _verifier(table) as verifier:
        for _ in range(20):
            assert await verifier.verify(nobodys) == "unknown"
        assert len(table.reads) == 1
        table.now += ABSENT_SECONDS + 0.01
        assert await verifier.verify(nobodys) == "unknown"
    assert len(table.reads) == 2


async def test_guessing_drives_out_no_key_and_reads_in_batches(table: Table) -> None:
    key = table.add()
    with _verifier(table) as verifier:
        verifier.known = KnownKeys(most=100)
        await verifier.verify(key.text)
        guesses = [make("shop").text for _ in range(1200)]
        verdicts = await asyncio.gather(*(verifier.verify(text) for text in guesses))
        assert set(verdicts) <= {"unknown", "unavailable"}
        assert isinstance(verifier.recall(key.text), ApiKey)
        assert len(verifier.known) == 1
    assert len(table.reads) == 1 + 3


async def test_too_many_who_wait_are_turned_away_rather_than_kept(table: Table) -> None:
    table.hung = asyncio.Event()
    with _verifier(table) as verifier:
        tasks = [asyncio.ensure_future(verifier.verify(make("shop").text)) for _ in range(6000)]
        verdicts = await asyncio.gather(*tasks)
        assert set(verdicts) == {"unavailable"}
        table.hung.set()
        await _settled()
        await verifier.close()


async def test_while_the_database_is_away_known_keys_go_on_and_others_are_not_refused(table: Table) -> None:
    known, fresh = table.add(), table.add()
    with _verifier(table) as verifier:
        await verifier.verify(known.text)
        table.away = True
        table.now += 10
        assert isinstance(await verifier.verify(known.text), ApiKey)
        assert await verifier.verify(fresh.text) == "unavailable"
        assert await verifier.verify(make("shop").text) == "unavailable"
        table.now += 60
        assert await verifier.verify(known.text) == "unavailable"
        assert verifier.outcomes == {"accepted": 1, "stale": 1, "unavailable": 3}
        table.away = False
        await _settled()
        assert not verifier.failing, "it finds out by itself"
        assert isinstance(await verifier.verify(fresh.text), ApiKey)
        assert isinstance(await verifier.verify(known.text), ApiKey)


async def test_what_is_known_to_be_over_is_refused_without_the_database_too(table: Table) -> None:
    ended, revoked = table.add(expires_in=5.0), table.add(revoked=True)
    with _verifier(table) as verifier:
        await verifier.verify(ended.text)
        await verifier.verify(revoked.text)
        table.away = True
        table.now += 10
        assert await verifier.verify(ended.text) == "expired"
        assert await verifier.verify(revoked.text) == "revoked"
        await verifier.close()


async def test_a_wrong_secret_is_not_accepted_without_the_database(table: Table) -> None:
    key = table.add()
    with _verifier(table) as verifier:
        await verifier.verify(key.text)
        table.away = True
        table.now += 10
        body = key.id + make("shop").text[len(key.id) : -6]
        assert await verifier.verify(body + checksum(body)) == "unavailable"
        await verifier.close()


async def test_a_key_may_be_declared_never_to_be_stale(table: Table) -> None:
    key = table.add()
    with _verifier(table, ApiKeysSpec("api", "shop", stale=timedelta(0))) as verifier:
        await verifier.verify(key.text)
        table.away = True
        table.now += FRESH_SECONDS + 0.01
        assert await verifier.verify(key.text) == "unavailable"
        await verifier.close()


async def test_a_database_that_hangs_is_waited_for_once(table: Table) -> None:
    known, fresh = table.add(), table.add()
    with _verifier(table) as verifier:
        await verifier.verify(known.text)
        table.hung = asyncio.Event()
        table.now += 10
        assert isinstance(await verifier.verify(known.text), ApiKey)
        assert verifier.failing
        loop = asyncio.get_running_loop()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = loop.create_task(count())
        assert await verifier.verify(fresh.text) == "unavailable"
        assert isinstance(await verifier.verify(known.text), ApiKey)
        counting.cancel()
        assert turns <= 2, "nobody waited"
        table.hung.set()
        await _settled()
        assert isinstance(await verifier.verify(fresh.text), ApiKey)


async def test_a_caller_who_goes_away_takes_nobody_with_it(table: Table) -> None:
    key = table.add()
    table.hung = asyncio.Event()
    verifier = Verifier(SPEC, table.read, table.touch, wait=30, clock=lambda: table.now, sleep=table.sleep)
    first = asyncio.ensure_future(verifier.verify(key.text))
    second = asyncio.ensure_future(verifier.verify(key.text))
    await _settled()
    first.cancel()
    await _settled()
    table.hung.set()
    assert isinstance(await second, ApiKey)
    assert first.cancelled()


async def test_uses_are_written_together_and_at_the_end(table: Table) -> None:
    keys = [table.add() for _ in range(3)]
    verifier = Verifier(SPEC, table.read, table.touch, clock=lambda: table.now)
    for key in keys * 4:
        await verifier.verify(key.text)
        table.now += 0.05
    assert table.touched == []
    await verifier.close()
    (used,) = table.touched
    assert set(used) == {key.id for key in keys}
    assert used[keys[2].id] == pytest.approx(0.05)


async def test_uses_are_written_after_a_while(table: Table) -> None:
    key = table.add()
    verifier = Verifier(SPEC, table.read, table.touch, clock=lambda: table.now, sleep=table.sleep)
    await verifier.verify(key.text)
    await _settled()
    assert [list(used) for used in table.touched] == [[key.id]]
    await verifier.verify(key.text)
    await _settled()
    assert len(table.touched) == 2
    await verifier.close()
