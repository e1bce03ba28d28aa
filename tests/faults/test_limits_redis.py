"""Redis refused, frozen, killed, slow or full: limits do as declared, requests wait once at most, and it heals."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from redis_server import RedisServer, running
from slow_proxy import SlowProxy

from .limited import NAMES, PATIENT, limited, loop_runs

pytestmark = pytest.mark.needs("redis-server")


async def test_refused_it_keeps_nobody_waiting_and_is_used_when_it_is_there() -> None:
    server = RedisServer()
    try:
        with loop_runs():
            async with limited(redis_url=server.url) as process:
                await process.fails_within_one_time_out()
                await process.is_as_declared()
                assert not process.up
                await server.start()
                await process.recovers()
                assert process.up
    finally:
        server.remove()


async def test_frozen_it_costs_one_time_out_and_heals_by_itself() -> None:
    async with running() as server, limited(redis_url=server.url) as process:
        for _ in range(2):
            await process.recovers()
            with loop_runs(), server.frozen():
                await process.fails_within_one_time_out()
                # Probes that hang make nobody hang.
                for _ in range(6):
                    await process.is_as_declared()
                    await asyncio.sleep(0.05)
                assert not process.up
        await process.recovers()
        assert process.up


async def test_killed_and_started_again_it_counts_anew() -> None:
    async with running() as server, limited(redis_url=server.url, timeout=PATIENT) as process:
        await process.recovers()
        decision, _ = await process.check("allowing")
        assert (decision.source, decision.remaining) == ("store", 999)
        with loop_runs():
            server.stop()
            await process.fails_within_one_time_out()
            await process.is_as_declared()
            await server.start()
            await process.recovers()
        decision, _ = await process.check("allowing")
        assert (decision.source, decision.remaining) == ("store", 999)


async def test_slow_it_counts_as_gone_and_as_there_when_it_is_quick_again() -> None:
    async with running() as server:
        proxy = SlowProxy(server.port)
        async with proxy.serving(), limited(redis_url=f"redis://127.0.0.1:{proxy.port}/0") as process:
            await process.recovers()
            with loop_runs():
                # Longer than a busy machine stands still: what has come by then is no time-out.
                proxy.delay = 2.0
                await process.fails_within_one_time_out()
                for _ in range(3):
                    await process.is_as_declared()
                    await asyncio.sleep(0.05)
                assert not process.up
            proxy.delay = 0.0
            await process.recovers()
            assert process.up


async def test_slow_it_is_waited_for_as_long_as_was_declared() -> None:
    async with running() as server:
        proxy = SlowProxy(server.port)
        async with proxy.serving(), limited(redis_url=f"redis://127.0.0.1:{proxy.port}/0", timeout=PATIENT) as process:
            await process.recovers()
            proxy.delay = 0.05
            answers = await asyncio.gather(*(process.check(name) for name in NAMES))
            assert all(decision.source == "store" and took >= 0.05 for decision, took in answers)


@pytest.mark.parametrize("trouble", ["full", "a replica"])
async def test_refusing_to_count_it_is_asked_all_the_same(trouble: Literal["full", "a replica"]) -> None:
    async with running() as server, limited(redis_url=server.url, timeout=PATIENT) as process:
        await process.recovers()
        if trouble == "full":
            await server.execute("CONFIG", "SET", "maxmemory", "1")
        else:
            await server.execute("REPLICAOF", "127.0.0.1", "1")
        for name in NAMES:
            decision, _ = await process.check(name, "a new one")
            assert (decision.source, decision.admitted) == ("on_error", name != "denying")
        assert process.up, "who answers is not waited for, so there is no need to do without"
        await server.execute("CONFIG", "SET", "maxmemory", "0")
        await server.execute("REPLICAOF", "NO", "ONE")
        await process.recovers()


async def test_forgetting_the_script_it_is_told_again() -> None:
    async with running() as server, limited(redis_url=server.url, timeout=PATIENT) as process:
        await process.recovers()
        await server.execute("SCRIPT", "FLUSH")
        answers = await asyncio.gather(*(process.check(name, str(n)) for n in range(100) for name in NAMES))
        assert {decision.source for decision, _ in answers} == {"store"}


async def test_its_connection_is_its_own() -> None:
    async with running() as server, limited(redis_url=server.url) as process:
        await process.recovers()
        clients = await server.execute("CLIENT", "LIST")
        assert isinstance(clients, bytes)
        assert b"name=roadworthy-shop-limits " in clients
