"""PostgreSQL hanging, restarted or crashed: limits do as declared, requests wait once at most, and it heals."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from roadworthy.database import driver, migration
from roadworthy.runtime.embedded import EmbeddedPostgres

from .limited import PATIENT, limited, loop_runs

# A statement may well take longer than 20 ms where tests share a machine.
TIMEOUT = 0.1


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL with the table of limits."""
    async with EmbeddedPostgres(tmp_path / "data", settings={"fsync": "off"}) as started:
        await migration.apply(started.dsn, [migration.load("roadworthy.limits", "roadworthy.limits")])
        yield started


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Have the server hang, and all of its processes."""
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def test_frozen_it_costs_one_time_out_and_heals_by_itself(server: EmbeddedPostgres) -> None:
    async with limited(dsn=server.dsn, timeout=TIMEOUT) as process:
        await process.recovers()
        with loop_runs(), frozen(server):
            await process.fails_within_one_time_out()
            await process.is_as_declared()
        assert not process.up
        await process.recovers()
        assert process.up


async def test_restarted_it_keeps_its_counts_and_crashed_it_counts_anew(server: EmbeddedPostgres) -> None:
    async with limited(dsn=server.dsn, timeout=PATIENT) as process:
        await process.recovers()
        denying = process.limiters["denying"]
        assert (await denying.check("somebody", 600)).remaining == 400
        await server.restart()
        await process.recovers()
        assert (await denying.check("somebody")).remaining < 900

        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with loop_runs():
            # The processes that serve connections notice a little later that they are alone.
            await process.is_missed()
            await process.is_as_declared()
        await server.restart()
        await process.recovers()
        assert (await denying.check("somebody")).remaining == 999


async def test_who_holds_a_row_for_long_makes_nobody_wait_for_long(server: EmbeddedPostgres) -> None:
    connection = await driver.connect(server.dsn)
    async with limited(dsn=server.dsn, timeout=TIMEOUT) as process:
        await process.recovers()
        await process.check("allowing")
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM roadworthy.rate_limits FOR UPDATE")
            with loop_runs():
                decision, took = await process.check("allowing")
            assert (decision.source, decision.admitted) == ("on_error", True)
            assert took < 10 * TIMEOUT
        await process.recovers()
    await driver.close(connection)
