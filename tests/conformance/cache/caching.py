"""A process of a service with a cache, which does what lines on its input say and answers each with one.

    python -m conformance.cache.caching DSN REDIS_URL SERVICE

Lines and answers are JSON: `[command, argument, ...]`, and what came of it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from roadworthy import Service, hours, seconds
from roadworthy.runtime.lifecycle import opened

LIMIT = 60


class Caching:
    """The commands."""

    def __init__(self, service: Service) -> None:
        # A busy machine must not pass for a store that is away.
        self._cache = service.cache("pages", ttl=hours(1), store_timeout=seconds(15))
        self._loads = 0
        self._draw = random.Random()

    async def many(self, key: str, callers: int, takes: float) -> dict[str, Any]:
        """Have many ask for one key; tell how often this process asked the source, and what callers got."""

        async def load() -> str:
            self._loads += 1
            await asyncio.sleep(takes)
            return f"{id(self)}"

        got = await asyncio.gather(*(self._cache.get_or_set(key, load) for _ in range(callers)))
        return {"loads": self._loads, "values": sorted(set(got))}

    async def set(self, key: str, value: str) -> None:
        """Write a key, and read it meanwhile."""
        await self._meanwhile(key, self._cache.set(key, value, tags=[key]))

    async def delete(self, key: str) -> None:
        """Delete a key, and read it meanwhile."""
        await self._meanwhile(key, self._cache.delete(key))

    async def invalidate(self, key: str) -> None:
        """Invalidate the tag of a key, and read it meanwhile."""
        await self._meanwhile(key, self._cache.invalidate(key))

    async def load(self, key: str, value: str) -> None:
        """Ask for a key from several places at once."""

        async def load() -> str:
            await asyncio.sleep(self._draw.random() / 1000)
            return value

        await asyncio.gather(*(self._cache.get_or_set(key, load, tags=[key]) for _ in range(3)))

    async def read(self, key: str) -> Any:
        """Return what a key has."""
        return await self._cache.get(key)

    async def all(self, commands: list[list[Any]]) -> list[Any]:
        """Do several at once, and return what came of each."""
        return await asyncio.gather(*(getattr(self, command)(*arguments) for command, *arguments in commands))

    async def _meanwhile(self, key: str, change: Awaitable[None]) -> None:
        async def look() -> None:
            for _ in range(3):
                await asyncio.sleep(self._draw.random() / 1000)
                await self._cache.get(key)

        await asyncio.gather(look(), change, look())


async def main(dsn: str, redis_url: str | None, name: str) -> None:
    """Serve commands until the input ends."""
    service = Service(name)
    service.database()
    caching = Caching(service)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with opened(service.spec, dsn, redis_url=redis_url) as binding, service.bind(binding):
        say("ready")
        while line := await lines.readline():
            command, *arguments = json.loads(line)
            call: Callable[..., Awaitable[Any]] = getattr(caching, command)
            async with asyncio.timeout(LIMIT):
                say(await call(*arguments))


def say(what: Any) -> None:
    """Answer."""
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2] or None, sys.argv[3]))
