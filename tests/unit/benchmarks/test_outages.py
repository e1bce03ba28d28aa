"""The proxy of the outages does to a connection what it says, and heals; rows say which promises were not kept."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

ROOT = Path(__file__).parents[3]

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.outages.outages import judged  # noqa: E402
from benchmarks.outages.proxy import Proxy  # noqa: E402
from benchmarks.outages.services import Running  # noqa: E402
from benchmarks.outages.traffic import Answered, Kind, Traffic  # noqa: E402


@asynccontextmanager
async def _echo() -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.transport.abort()
        # What is aborted closes in the loop's next passes.
        await asyncio.sleep(0.01)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, proxy: Proxy) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def say(self, text: bytes) -> bytes:
        self.writer.write(text)
        async with asyncio.timeout(60):
            return await self.reader.readexactly(len(text))

    def close(self) -> None:
        self.writer.transport.abort()


async def test_a_connection_goes_through_all_that_a_proxy_does() -> None:
    async with _echo() as port, Proxy.before(port, delay=0.05) as proxy:
        client = await Client.of(proxy)
        assert await client.say(b"hello") == b"hello"
        await proxy.behave("slow")
        began = time.monotonic()
        assert await client.say(b"hello") == b"hello"
        assert time.monotonic() - began >= 0.045
        await proxy.behave("lies")
        lie = await client.say(b"hello again")
        assert lie != b"hello again"
        await proxy.behave("hangs")
        waiting = asyncio.create_task(client.say(b"late"))
        late = await Client.of(proxy)
        new = asyncio.create_task(late.say(b"new"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert not new.done()
        await proxy.behave("as it is")
        assert await waiting == b"late"
        assert await new == b"new"
        await proxy.behave("cut off")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.say(b"hello")
        with pytest.raises(ConnectionError):
            await Client.of(proxy)
        await proxy.behave("as it is")
        again = await Client.of(proxy)
        assert await again.say(b"hello") == b"hello"
        for one in (client, late, again):
            one.close()


async def test_traffic_goes_on_whether_or_not_answers_come() -> None:
    class Response:
        status_code = 200

    async def answers(number: int) -> Any:
        return Response()

    async def hangs(number: int) -> Any:
        await asyncio.sleep(30)

    kinds = (Kind("answers", answers),)
    async with Traffic.of(kinds, every=0.005) as traffic:
        assert await traffic.until_good(within=5) is not None
    assert all(one.good for one in traffic.answered)
    async with Traffic.of((Kind("hangs", hangs),), every=0.005) as traffic:
        assert await traffic.until_good(within=0.1) is None


LIVE = Kind("/livez", cast(Any, None))
SEARCH = Kind("search", cast(Any, None))


@pytest.mark.parametrize(
    ("kind", "outcomes", "seconds", "recovered", "broken"),
    [
        (SEARCH, [200] * 10, 0.1, 1.0, ()),
        (SEARCH, [200] * 9 + [503], 0.1, 1.0, ("more than 0.1% errors, though there is a fallback",)),
        (LIVE, [200] * 9 + [503], 0.1, 1.0, ()),
        (LIVE, [200] * 10, 2.0, 1.0, ("answered too late",)),
        (LIVE, [200, 500], 0.1, 1.0, ("errors other than a refusal",)),
        (LIVE, [200, "ReadError"], 0.1, 1.0, ("errors other than a refusal",)),
        (LIVE, [200], 0.1, None, ("did not recover",)),
        (LIVE, [], 0.1, 1.0, ("nothing was asked",)),
    ],
)
def test_which_promises_were_not_kept(
    kind: Kind, outcomes: list[int | str], seconds: float, recovered: float | None, broken: tuple[str, ...]
) -> None:
    running = Running("shop", (SEARCH, LIVE), {}, {("Redis", "search"): "memory"})
    asked = [Answered(kind, 0.0, seconds, outcome) for outcome in outcomes]
    row = judged(running, "Redis", "hangs", kind, asked, recovered)
    assert row.broken == broken
    assert row.errors == len([one for one in outcomes if one != 200])
