"""What is done to a service so that an alert fires, and undone again. What both services can suffer is here."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from roadworthy.database import driver

from .running import Load, Running

Done = Callable[[Running], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Cause:
    """What is done, in words and in fact, and the alerts that it must make fire, each by its title.

    `within` is for how many seconds that is waited for, at most, on top of what time compression leaves of the rules'.
    """

    what: str
    alerts: tuple[str, ...]
    done: Done
    within: float = 60.0


Phase = tuple[Cause, ...]
"""Causes that do not get into each other's way, so that they are had at once."""


@asynccontextmanager
async def stopped(processes: Iterable[psutil.Process]) -> AsyncIterator[None]:
    """Have processes stand still (SIGSTOP)."""
    held = list(processes)
    _signal(held, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(held, signal.SIGCONT)


@asynccontextmanager
async def by_turns(processes: Callable[[], Iterable[psutil.Process]], halt: float, go: float) -> AsyncIterator[None]:
    """Have processes stand still for `halt` seconds and run for `go`, again and again."""

    async def turns() -> None:
        while True:
            async with stopped(processes()):
                await asyncio.sleep(halt)
            await asyncio.sleep(go)

    async with _meanwhile(turns()):
        yield


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


@asynccontextmanager
async def _meanwhile(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def repeated(every: float, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Do a piece of work again and again."""

    async def forever() -> None:
        while True:
            await work()
            await asyncio.sleep(every)

    async with _meanwhile(forever()):
        yield


@asynccontextmanager
async def postgres_hangs(running: Running) -> AsyncIterator[None]:
    """Stop PostgreSQL, all of its processes."""
    async with stopped(running.postgres()):
        yield


_OWN_TABLES = """
SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') AS names FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'roadworthy')
"""


@asynccontextmanager
async def tables_locked(running: Running) -> AsyncIterator[None]:
    """Hold a transaction open that has locked the service's own tables."""
    [row] = await running.sql(_OWN_TABLES)
    connection = await driver.connect(running.dsn)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {row['names']} IN ACCESS EXCLUSIVE MODE", timeout=30)
            yield
    finally:
        connection.terminate()


@asynccontextmanager
async def redis_hangs(running: Running) -> AsyncIterator[None]:
    """Stop Redis."""
    async with stopped([psutil.Process(running.redis)]):
        yield


def process_stopped(name: str) -> Done:
    """Return what stops one process of the service."""
    return lambda running: stopped([running.process(name)])


@asynccontextmanager
async def service_stopped(running: Running) -> AsyncIterator[None]:
    """Stop the process that answers scrapes."""
    async with stopped([psutil.Process(running.pid)]):
        yield


@asynccontextmanager
async def loop_blocked(running: Running) -> AsyncIterator[None]:
    """Hold the web process up for most of a second, again and again."""
    async with by_turns(lambda: [running.process("web-1")], 0.8, 2.0):
        yield


@asynccontextmanager
async def few_descriptors(running: Running) -> AsyncIterator[None]:
    """Leave the scheduler hardly more file descriptors than it has open."""
    process = running.process("scheduler")
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (process.num_fds() + 3, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)


def paused(*queues: str) -> Done:
    """Return what pauses queues."""

    @asynccontextmanager
    async def done(running: Running) -> AsyncIterator[None]:
        for queue in queues:
            await running.command("jobs", "pause", queue, "--reason", "alerts")
        try:
            yield
        finally:
            for queue in queues:
                await running.command("jobs", "resume", queue)

    return done


ADD_JOBS = """
INSERT INTO roadworthy.jobs (queue, job, arguments, run_at, enqueued_at, state, priority, attempts)
SELECT $1, $2, $3::json, now() - $4::float8 * interval '1 s', now() - $4::float8 * interval '1 s', 1, 100, 1
FROM generate_series(1, $5::int)
"""


def queue_filled(queue: str, job: str, *, count: int, age: float = 0) -> Done:
    """Return what pauses a queue, in which so many jobs of so great an age wait; they are deleted after."""

    @asynccontextmanager
    async def done(running: Running) -> AsyncIterator[None]:
        async with paused(queue)(running):
            await running.sql(ADD_JOBS, queue, job, "{}", age, count)
            try:
                yield
            finally:
                await running.sql("DELETE FROM roadworthy.jobs WHERE queue = $1 AND job = $2", queue, job)

    return done


def jobs_fail(queue: str, job: str) -> Done:
    """Return what adds jobs whose arguments nothing can be done with, some each second."""

    @asynccontextmanager
    async def done(running: Running) -> AsyncIterator[None]:
        async def add() -> None:
            await running.sql(ADD_JOBS, queue, job, '{"wrong": 1}', 0.0, 5)

        async with repeated(1.0, add):
            yield

    return done


def flooded(path: Callable[[int], str], *, connections: int) -> Done:
    """Return what asks for a page over many connections at once, each as fast as it is answered."""

    @asynccontextmanager
    async def done(running: Running) -> AsyncIterator[None]:
        numbers = itertools.count()
        url = running.client.base_url

        async def one() -> None:
            while True:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                    async with asyncio.timeout(30):
                        await _asked(url, path, numbers)
                await asyncio.sleep(0.05)

        async with _meanwhile(*(one() for _ in range(connections))):
            yield

    return done


async def _asked(url: httpx.URL, path: Callable[[int], str], numbers: Iterable[int]) -> None:
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        for number in numbers:
            writer.write(f"GET {path(number)} HTTP/1.1\r\nhost: {url.netloc.decode()}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"content-length: " not in head:
                return
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
    finally:
        writer.close()


def asked(*loads: Callable[[Running], Load]) -> Done:
    """Return what makes further requests."""
    return lambda running: running.asked(*(load(running) for load in loads))


def all_of(*several: Done) -> Done:
    """Return what does several things at once."""

    @asynccontextmanager
    async def done(running: Running) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for one in several:
                await stack.enter_async_context(one(running))
            yield

    return done
