"""A service without web pages whose queue scales, for tests that start real processes."""

from __future__ import annotations

import asyncio
import os

from roadworthy import Service, seconds

service = Service("scaled", version="1.2.3")
database = service.database()
work = service.queue("work", workers=(1, 3), concurrency=2, target_latency=seconds(1), scale_in_after=seconds(2))
idle = service.queue("idle", workers=(0, 1), concurrency=1, scale_in_after=seconds(0))


async def effect(kind: str) -> None:
    await database.execute("INSERT INTO effects (kind, pid) VALUES ($1, $2)", kind, os.getpid())


@work.job()
async def wait(duration: float) -> None:
    await effect("begun")
    await asyncio.sleep(duration)
    await effect("ended")


@idle.job()
async def seldom() -> None:
    await effect("ended")
