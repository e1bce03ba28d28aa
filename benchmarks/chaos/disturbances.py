"""What is done to the fleet and to PostgreSQL, in an order that the seed gives."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psutil

from roadworthy import DatabaseUnavailable
from roadworthy.database import driver
from roadworthy.runtime.embedded import EmbeddedPostgres

from .enqueuer import place
from .fleet import Fleet, Member
from .service import LEASE, database

T = TypeVar("T")

IN_HAND = 100
_TRIES = 100
_GATHERED_WITHIN = 8.0
_DRAINED_WITHIN = 20.0
_TERMINATE = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_HELD_BY = "SELECT worker, count(*) FROM roadworthy.jobs WHERE state = 2 GROUP BY worker"


@dataclass(slots=True)
class Disturbances:
    """Draws and applies disturbances; `done` counts them, `drained` is what each drained worker had in hand."""

    fleet: Fleet
    postgres: EmbeddedPostgres
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)
    drained: list[int] = field(default_factory=list)
    unclean_drains: int = 0

    def all(self) -> dict[str, tuple[int, Callable[[], Coroutine[Any, Any, None]]]]:
        """Return each disturbance with its weight."""
        return {
            "worker killed -9": (6, self._kill_worker),
            "worker paused past its lease": (5, self._pause_worker),
            "worker told to stop with 100 jobs in hand": (3, self._drain_worker),
            "job process killed -9": (3, self._kill_child),
            "scheduler killed -9": (2, self._kill_scheduler),
            "enqueuer killed -9": (2, self._kill_enqueuer),
            "all connections terminated": (3, self._terminate_backends),
            "PostgreSQL restarted, immediate mode": (2, self._restart_postgres),
        }

    async def go_on(self, over: asyncio.Event, mean_pause: float) -> None:
        """Disturb until `over`: each kind once in a drawn order, however long that takes, then by weight."""
        kinds = self.all()
        first = list(kinds)
        self.random.shuffle(first)
        async with asyncio.TaskGroup() as group:
            while first or not over.is_set():
                name = first.pop() if first else self._draw(kinds)
                if name == "worker paused past its lease":
                    group.create_task(kinds[name][1]())
                else:
                    await kinds[name][1]()
                await _wait(over, self.random.expovariate(1 / mean_pause))

    def _draw(self, kinds: dict[str, tuple[int, Callable[[], Coroutine[Any, Any, None]]]]) -> str:
        (name,) = self.random.choices(list(kinds), weights=[weight for weight, _ in kinds.values()])
        return name

    def _choose(self, kind: str) -> Member | None:
        members = self.fleet.of(kind)
        return self.random.choice(members) if members else None

    async def _kill(self, kind: str) -> None:
        if member := self._choose(kind):
            member.send(signal.SIGKILL)
            self.done[f"{kind} killed -9"] += 1

    async def _kill_worker(self) -> None:
        await self._kill("worker")

    async def _kill_scheduler(self) -> None:
        await self._kill("scheduler")

    async def _kill_enqueuer(self) -> None:
        await self._kill("enqueuer")

    async def _kill_child(self) -> None:
        children = [child for member in self.fleet.of("worker") for child in member.children()]
        if children:
            try:
                self.random.choice(children).kill()
            except psutil.NoSuchProcess:
                return
            self.done["job process killed -9"] += 1

    async def _pause_worker(self) -> None:
        if member := self._choose("worker"):
            member.paused = True
            process = member.process
            member.send(signal.SIGSTOP)
            self.done["worker paused past its lease"] += 1
            await asyncio.sleep(LEASE.total_seconds() * self.random.uniform(1.2, 2.5))
            if member.process is process:
                member.send(signal.SIGCONT)
                member.paused = False

    async def _drain_worker(self) -> None:
        member = self._choose("worker")
        if member is None or member.process is None:
            return
        await patiently(lambda: place("plain", count=420, takes=1.0, certain=True))
        held = await self._gathered(member)
        process = member.process
        member.draining = True
        member.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(_DRAINED_WITHIN):
                code = await process.wait()
        except TimeoutError:
            code = None
            process.kill()
        self.drained.append(held)
        self.unclean_drains += code != 0
        self.done["worker told to stop with 100 jobs in hand"] += held >= IN_HAND

    async def _gathered(self, member: Member) -> int:
        """Wait for the member to hold a hundred jobs; return how many it had at last."""
        assert member.process is not None
        suffix, most = f"-{member.process.pid}", 0
        loop = asyncio.get_running_loop()
        until = loop.time() + _GATHERED_WITHIN
        while loop.time() < until and most < IN_HAND:
            rows = await patiently(lambda: database.fetch(_HELD_BY))
            most = max(most, sum(row["count"] for row in rows if str(row["worker"]).endswith(suffix)))
            await asyncio.sleep(0.05)
        return most

    async def _terminate_backends(self) -> None:
        await patiently(lambda: database.fetchval(_TERMINATE))
        self.done["all connections terminated"] += 1

    async def _restart_postgres(self) -> None:
        if self.postgres.pid is not None:
            os.kill(self.postgres.pid, signal.SIGQUIT)
        await self.postgres.restart()
        self.done["PostgreSQL restarted, immediate mode"] += 1


async def _wait(over: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        return


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Return what `call` returns, though its connection is cut off now and then."""
    for _ in range(_TRIES):
        try:
            return await call()
        except (DatabaseUnavailable, driver.PostgresError, TimeoutError, *driver.LOST):
            await asyncio.sleep(0.2)
    return await call()
