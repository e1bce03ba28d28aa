"""The reference services as an operator starts them, each behind proxies, with traffic of the kinds that matter."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from roadworthy.database import administration, driver
from roadworthy.runtime.embedded import EmbeddedPostgres

from ..queues import servers
from .proxy import Proxy
from .traffic import PATIENCE, Kind

_START_SECONDS = 90.0
_PAGES = 12
_SECRET = secrets.token_hex(32)
_SOCKET = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs: its traffic, and the proxies before what it depends on, by name.

    `fallbacks` says, by dependency and kind of request, what answers without the dependency; where nothing does, a
    request may be refused, but in time and as what it is. `more` has kinds that are sent for one dependency alone.
    """

    name: str
    kinds: tuple[Kind, ...]
    proxies: Mapping[str, Proxy]
    fallbacks: Mapping[tuple[str, str], str]
    more: Mapping[str, tuple[Kind, ...]] = field(default_factory=dict)


@asynccontextmanager
async def sitesearch(postgres: EmbeddedPostgres, directory: Path) -> AsyncIterator[Running]:
    """Site Search: it needs PostgreSQL, is the quicker with Redis, and crawls a web site."""
    async with (
        _web_site() as port,
        Proxy.before(port) as site,
        _started("sitesearch", postgres, directory, {"SITESEARCH_ALLOW_HOSTS": "127.0.0.1"}) as (
            client,
            proxies,
            environment,
        ),
    ):
        issue = ("keys", "issue", "outages", "--service", "sitesearch.service:service", "--limit", "100000/minute")
        scopes = (part for scope in ("search", "manage", "admin") for part in ("--scope", scope))
        issued = await _said(environment, "roadworthy", *issue, *scopes, "--json")
        client.headers["authorization"] = f"Bearer {json.loads(issued)['secret']}"
        settings = {"start_url": f"http://127.0.0.1:{site.port}/", "name": "outages", "delay_seconds": 0}
        added = await client.post("/api/v1/sites", json=settings)
        slug = added.raise_for_status().json()["slug"]
        address = f"/api/v1/sites/{slug}"
        await _crawled(client, address)

        async def remembered(number: int) -> httpx.Response:
            return await client.get(f"{address}/search", params={"q": ("harbour", "garden", "compost")[number % 3]})

        async def searched(number: int) -> httpx.Response:
            return await client.get(f"{address}/search", params={"q": f"harbour {number} {random.random()}"})

        async def crawl(_: int) -> httpx.Response:
            return await client.post(f"{address}/crawls")

        kinds = (
            Kind("search asked before", remembered),
            Kind("search not asked before", searched),
            Kind("/livez", lambda _: client.get("/livez")),
        )
        # It makes what was remembered out of date: not while that is to be answered from memory.
        crawling = Kind("crawl begun", crawl, frozenset((202, 409)))
        nothing = "does without"
        yield Running(
            "sitesearch",
            kinds,
            {**proxies, "crawled site": site},
            {
                ("PostgreSQL", "search asked before"): "cache, stale for 1 h",
                ("Redis", "search asked before"): "cache in memory",
                ("Redis", "search not asked before"): "PostgreSQL",
                **{("crawled site", kind.name): nothing for kind in (*kinds, crawling)},
                **{(dependency, "/livez"): nothing for dependency in ("PostgreSQL", "Redis")},
            },
            {"crawled site": (crawling,)},
        )


@asynccontextmanager
async def vitals(postgres: EmbeddedPostgres, directory: Path) -> AsyncIterator[Running]:
    """Vitals: it needs PostgreSQL, whose word it is who may see what, and is the quicker with Redis."""
    from vitals.sample import payload
    from vitals.webhooks.signature import FORMAT

    draw = random.Random(1)
    secret = {"VITALS_SECRET_AGGREGATOR": _SECRET}
    async with _started("vitals", postgres, directory, secret) as (client, proxies, environment):

        async def webhook(_: int) -> httpx.Response:
            now = datetime.now(UTC)
            morning = now.replace(hour=0, minute=0, second=0, microsecond=0)
            body = json.dumps(payload("mira", "GARMIN", "daily", morning, now, draw)).encode()
            headers = {"content-type": "application/json", **FORMAT.sign(body, [_SECRET.encode()], now=time.time())}
            return await client.post("/webhooks/aggregator", content=body, headers=headers)

        (await webhook(0)).raise_for_status()
        user = await _known(environment["DATABASE_URL"])
        key = await _said(environment, "vitals.keys", "issue", "user", "mira")
        bearer = {"authorization": f"Bearer {key}"}

        async def latest(_: int) -> httpx.Response:
            return await client.get(f"/api/v1/users/{user}/metrics/latest", headers=bearer)

        kinds = (
            Kind("latest metrics", latest),
            Kind("webhook", webhook, frozenset((200, 202))),
            Kind("/livez", lambda _: client.get("/livez")),
        )
        yield Running(
            "vitals",
            kinds,
            proxies,
            {
                ("Redis", "latest metrics"): "cache in memory, PostgreSQL",
                ("Redis", "webhook"): "does without",
                **{(dependency, "/livez"): "does without" for dependency in proxies},
            },
        )


@asynccontextmanager
async def _started(
    name: str, postgres: EmbeddedPostgres, directory: Path, more: Mapping[str, str]
) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, Proxy], dict[str, str]]]:
    """Run a service on a database and a Redis of its own, both behind proxies.

    Yields its client, the proxies, and an environment that leads past them.
    """
    program = servers.redis_program()
    if program is None:
        raise RuntimeError("redis-server is not installed; apt-get install redis-server")
    await administration.create_database(postgres.dsn_of("postgres"), name)
    direct = postgres.dsn_of(name)
    user, socket = direct.partition("//")[2].partition("@")[0], httpx.URL(direct).params["host"]
    async with (
        servers.redis(program, directory) as redis,
        Proxy.before(Path(socket, _SOCKET)) as before_postgres,
        Proxy.before(int(httpx.URL(redis.url).port or 6379)) as before_redis,
    ):
        environment = {
            **os.environ,
            **more,
            "ROADWORTHY_DATA_DIR": str(directory / name),
            "ROADWORTHY_PORT": "0",
            "ROADWORTHY_OPERATIONS_PORT": "0",
            "DATABASE_URL": f"postgresql://{user}@127.0.0.1:{before_postgres.port}/{name}?sslmode=disable",
            "REDIS_URL": f"redis://127.0.0.1:{before_redis.port}/0",
        }
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        async with (
            _running(f"{name}.service:service", environment, directory / f"{name}.log") as url,
            httpx.AsyncClient(base_url=url, limits=limits, timeout=PATIENCE) as client,
        ):
            proxies = {"PostgreSQL": before_postgres, "Redis": before_redis}
            yield client, proxies, {**environment, "DATABASE_URL": direct, "REDIS_URL": redis.url}


@asynccontextmanager
async def _running(target: str, environment: Mapping[str, str], log: Path) -> AsyncIterator[str]:
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "roadworthy", "run", target),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
    assert process.stdout is not None
    reading: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not (line := await process.stdout.readline()).startswith(b"ready"):
                if not line:
                    raise RuntimeError(f"{target} ended before it was ready; see {log}")
        reading = asyncio.create_task(process.stdout.read())
        yield line.split()[1].decode()
    finally:
        # How a service stops is another matter, and what was in its hand would be waited for.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if reading is not None:
            await reading


async def _said(environment: Mapping[str, str], module: str, *arguments: str) -> str:
    """Run a command, and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), env=environment, stdout=subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} exited with {process.returncode}")
    return said.decode().strip()


async def _crawled(client: httpx.AsyncClient, address: str) -> None:
    (await client.post(f"{address}/crawls")).raise_for_status()
    async with asyncio.timeout(60):
        while (await client.get(address)).json()["pages"] < _PAGES:
            await asyncio.sleep(0.2)


async def _known(dsn: str) -> int:
    """Wait until the webhook was read; return the id of who it was about."""
    connection = await driver.connect(dsn)
    try:
        async with asyncio.timeout(60):
            while True:
                user: Any = await connection.fetchval("SELECT id FROM users WHERE reference = 'mira'")
                if user is not None:
                    return int(user)
                await asyncio.sleep(0.1)
    finally:
        connection.terminate()


@asynccontextmanager
async def _web_site() -> AsyncIterator[int]:
    """A small site about a garden; yield its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
                body = _page(path)
                status = "200 OK" if body else "404 Not Found"
                head = f"HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _page(path: str) -> bytes:
    number = path.removeprefix("/") or "0"
    if not number.isdigit() or int(number) >= _PAGES:
        return b""
    links = "".join(f'<a href="/{other}">{other}</a> ' for other in range(1, _PAGES))
    text = f"The harbour garden, bed {number}: compost, leaves and a spade."
    head = f"<head><title>Bed {number}</title></head>"
    return f"<html>{head}<body><h1>Bed {number}</h1><p>{text}</p>{links}</body></html>".encode()
