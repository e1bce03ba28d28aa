"""API keys of real processes: changed under traffic, and verified while PostgreSQL hangs, is gone and comes back."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from launching import HERE, launched, until
from roadworthy import hours
from roadworthy.database import migration
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.runtime.embedded import EmbeddedPostgres
from roadworthy.runtime.lifecycle import migrations
from roadworthy.security import keys
from roadworthy.security.keys import Asker, Grant

TARGET = f"{HERE / 'key_tenant.py'}:service"
BY = Asker("test")
ASKING = range(4)
GENEROUS = 10
"""How many times as long as promised a busy machine may take."""


@dataclass
class Fleet:
    """Two processes that serve, and the command line, on one database."""

    server: EmbeddedPostgres
    sites: list[str] = field(default_factory=list)

    async def issue(self, name: str) -> tuple[str, str]:
        async with self.pool() as pool:
            issued = await keys.issue(pool, Grant("api", "keyed", name, scopes=("read",)), BY)
        return issued.secret, issued.id

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Pool]:
        async with await Pool.open(self.server.dsn, DatabaseSpec("main", pool=(1, 1))) as pool:
            yield pool

    @asynccontextmanager
    async def traffic(self, key: Callable[[], str]) -> AsyncIterator[list[tuple[float, int, int]]]:
        """Have two ask each process all the time, with the key that there is; yields each (when, who, status)."""
        answers: list[tuple[float, int, int]] = []
        ended = asyncio.Event()

        async def ask(who: int) -> None:
            site = self.sites[who % len(self.sites)]
            async with httpx.AsyncClient(timeout=60) as client:
                while not ended.is_set():
                    headers = {"authorization": f"Bearer {key()}"}
                    answer = await client.get(f"{site}/api/me", headers=headers)
                    answers.append((time.monotonic(), who, answer.status_code))
                    await asyncio.sleep(0.005)

        async with asyncio.TaskGroup() as group:
            for who in ASKING:
                group.create_task(ask(who))
            try:
                yield answers
            finally:
                ended.set()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    from key_tenant import service

    async with EmbeddedPostgres(tmp_path / "data", settings={"fsync": "off"}) as server:
        await migration.apply(server.dsn, migrations(service.spec))
        fleet = Fleet(server)
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        environ = {"DATABASE_URL": server.dsn}
        async with (
            launched(tmp_path / "one", "serve", TARGET, environ=environ) as one,
            launched(tmp_path / "two", "serve", TARGET, environ=environ) as two,
        ):
            fleet.sites = [await one.site(), await two.site()]
            yield fleet


async def answered(answers: list[tuple[float, int, int]]) -> None:
    """Wait until each has been answered often again."""
    begin = len(answers)

    async def often() -> bool:
        counts = Counter(who for _, who, _ in answers[begin:])
        return all(counts[who] >= 15 for who in ASKING)

    await until(often, "many answers to each")


async def refused(answers: list[tuple[float, int, int]], who: int) -> bool:
    return any(other == who and status == 401 for _, other, status in answers)


async def test_rotation_loses_no_request_and_revocation_is_everywhere_within_a_second(fleet: Fleet) -> None:
    old, old_id = await fleet.issue("traffic")
    shown = [old]
    async with fleet.traffic(lambda: shown[0]) as answers:
        await answered(answers)
        async with fleet.pool() as pool:
            made = await keys.rotate(pool, old_id, overlap=hours(1), by=BY)
        await answered(answers)
        shown[0] = made.secret
        await answered(answers)
    assert {status for _, _, status in answers} == {200}

    shown[0] = old
    async with fleet.traffic(lambda: shown[0]) as answers:
        await answered(answers)
        async with fleet.pool() as pool:
            await keys.revoke(pool, old_id, by=BY)
            told = time.monotonic()
        for who in ASKING:
            await until(lambda who=who: refused(answers, who), "the key is refused")
        await answered(answers)
    by_status = Counter(status for _, _, status in answers)
    assert set(by_status) == {200, 401}
    assert max(at for at, _, status in answers if status == 200) < told + GENEROUS * 1.0
    for who in ASKING:
        statuses = [status for _, other, status in answers if other == who]
        assert statuses == sorted(statuses), "once refused, refused for good"
        assert statuses[-1] == 401


async def test_while_postgresql_hangs_or_is_gone_known_keys_go_on_and_others_wait_for_nothing(fleet: Fleet) -> None:
    known, _ = await fleet.issue("known")
    fresh, _ = await fleet.issue("fresh")

    async def statuses(key: str) -> set[int]:
        async with httpx.AsyncClient(timeout=60) as client:
            asked = [client.get(f"{site}/api/me", headers={"authorization": f"Bearer {key}"}) for site in fleet.sites]
            return {answer.status_code for answer in await asyncio.gather(*asked)}

    async def all_serve() -> bool:
        return await statuses(known) == {200} and await statuses(fresh) == {200}

    assert await statuses(known) == {200}
    await asyncio.sleep(1.0)
    assert fleet.server.pid is not None
    postmaster = psutil.Process(fleet.server.pid)
    stopped = [postmaster, *postmaster.children(recursive=True)]
    for one in stopped:
        one.send_signal(signal.SIGSTOP)
    try:
        async with fleet.traffic(lambda: known) as answers:
            for _ in range(5):
                assert await statuses(fresh) == {503}
            await asyncio.sleep(1.0)
        assert {status for _, _, status in answers} == {200}
    finally:
        for one in stopped:
            one.send_signal(signal.SIGCONT)
    await until(all_serve, "keys are verified again after a hang")

    await fleet.server.stop()
    assert await statuses(known) == {200}
    unknown = known[:-8] + "00000000"
    assert await statuses(unknown) == {401}, "what is no key needs no database"
    async with fleet.traffic(lambda: known) as answers:
        await asyncio.sleep(1.5)
    assert {status for _, _, status in answers} == {200}
    await fleet.server.start()
    await until(all_serve, "keys are verified again after a restart")
