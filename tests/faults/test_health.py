"""Probes while what a service depends on hangs, is gone and comes back: told in time, delayed never, mended unaided."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

import depending
from launching import HERE, Launched, launched, until
from redis_server import RedisServer, running
from roadworthy.database import migration
from roadworthy.runtime import postmaster
from roadworthy.runtime.embedded import EmbeddedPostgres
from roadworthy.runtime.lifecycle import migrations

pytestmark = pytest.mark.needs("redis-server")

TARGET = f"{HERE / 'depending.py'}:service"
DEPENDENCIES = ("database", "redis", "caches", "bank")
PROMISED = 0.05
GENEROUS = 40 * PROMISED
"""What a probe may take on a machine that does other things beside; the benchmark measures the promise itself."""


class Bank:
    """Another service, which answers, or accepts connections and says nothing."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.answering.set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.answering.wait()
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


class Scene:
    """The service as a process, and what it depends on."""

    def __init__(self, run: Launched, postgres: EmbeddedPostgres, data: Path, redis: RedisServer, bank: Bank) -> None:
        self.run = run
        self.postgres = postgres
        self.redis = redis
        self.bank = bank
        self._data = data

    async def probe(self, path: str) -> tuple[int, float]:
        """Return the status of an answer on the main port, and the seconds that it took."""
        site = await self.run.site()
        began = time.monotonic()
        answer = await self.run.client.get(site + path)
        return answer.status_code, time.monotonic() - began

    async def tells(self, **statuses: str) -> None:
        """Wait until these checks, and "all", have these statuses; no probe is late meanwhile."""

        async def told() -> bool:
            for path in ("/livez", "/readyz", "/health"):
                status, took = await self.probe(path)
                assert took < GENEROUS, f"{path} took {took:.3f} s"
                if path == "/livez":
                    assert status == 200, "liveness depends on nothing"
            report = await self.run.health()
            found: dict[str, set[str]] = {"all": {report["status"]}}
            for (reading,) in report["checks"].values():
                found.setdefault(reading["componentId"], set()).add(reading["status"])
            worst = {
                name: next(status for status in ("fail", "warn", "pass") if status in seen)
                for name, seen in found.items()
            }
            status, _ = await self.probe("/health")
            return statuses.items() <= worst.items() and status == (503 if statuses["all"] == "fail" else 200)

        await until(told, f"a report of {statuses}")

    @contextmanager
    def frozen_postgres(self) -> Iterator[None]:
        """Have every process of PostgreSQL hang."""
        processes = postmaster.leftovers(self._data)
        postmaster.kill(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            postmaster.kill([*processes, *postmaster.leftovers(self._data)], signal.SIGCONT)

    async def looks(self) -> float:
        """Return how often the service has looked at what it depends on."""
        counts = [
            await self.run.metric(f'health_check_duration_seconds_count{{check="{name}"}}') for name in DEPENDENCIES
        ]
        return sum(counts)

    async def probe_often(self, count: int) -> list[tuple[int, float]]:
        """Ask for the health so often at once."""
        return list(await asyncio.gather(*(self.probe("/health") for _ in range(count))))


@asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    bank, data = Bank(), directory / "server"
    server = await asyncio.start_server(bank, "127.0.0.1", 0)
    async with server, running() as redis, EmbeddedPostgres(data, settings={"fsync": "off"}) as postgres:
        await migration.apply(postgres.dsn, migrations(depending.service.spec))
        environ = {
            "DATABASE_URL": postgres.dsn,
            "REDIS_URL": redis.url,
            "BANK_URL": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/livez",
        }
        async with launched(directory, "serve", TARGET, environ=environ) as run:
            await run.said("^ready")
            try:
                yield Scene(run, postgres, data / "postgres", redis, bank)
            finally:
                bank.answering.set()


@pytest.mark.timeout(480)
async def test_what_a_service_depends_on_hangs_dies_and_comes_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        await on.tells(database="pass", redis="pass", caches="pass", bank="pass", all="pass")
        looks = await on.looks()
        answers = await on.probe_often(100)
        assert {status for status, _ in answers} == {200}
        # What is due anyway in that time is looked at, and nothing on behalf of a probe.
        assert await on.looks() - looks < 12

        # What the service can do without is a warning, and the first probe is not told later than any other.
        on.bank.answering.clear()
        with on.redis.frozen():
            await on.tells(redis="fail", bank="fail", database="pass", all="warn")
            (report,) = [await on.run.client.get(f"{await on.run.operations()}/health/checkout")]
            assert (report.status_code, set(report.json()["checks"])) == (200, {"bank"})

            # What it cannot do without fails it, and neither liveness nor readiness.
            with on.frozen_postgres():
                await on.tells(database="fail", all="fail")
                assert {status for status, _ in await on.probe_often(20)} == {503}
                assert (await on.probe("/readyz"))[0] == 200
        on.bank.answering.set()
        await on.tells(database="pass", redis="pass", caches="pass", bank="pass", all="pass")

        on.redis.stop()
        await on.postgres.stop()
        await on.tells(database="fail", redis="fail", all="fail")
        await on.redis.start()
        await on.postgres.start()
        await on.tells(database="pass", redis="pass", caches="pass", bank="pass", all="pass")
        assert await on.run.metric('health_check_transitions_total{check="database",status="fail"}') == 2
        assert await on.run.metric('health_check_transitions_total{check="database",status="pass"}') == 2
    log = (tmp_path / "log").read_text()
    assert log.count("health check fails") == log.count("health check passes again")
