"""A TCP proxy on loopback before a server, that can be slow, hang, be cut off and lie, and be restored."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

Behaviour = Literal["as it is", "slow", "hangs", "cut off", "lies"]

_CHUNK = 64 * 1024

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Proxy:
    """Passes on what clients and a server say to each other, as `behaviour` has it.

    While it `hangs` connections are accepted and nothing passes, `slow` it holds each piece of an answer for `delay`
    seconds, and when it `lies` an answer is as many bytes of noise. `cut off`, nobody listens, and connections are
    reset.
    """

    def __init__(self, connect: Connect, *, delay: float = 0.1, seed: int = 1) -> None:
        """Stand before whatever `connect` leads to; `seed` draws the noise."""
        self.port = 0
        self.behaviour: Behaviour = "as it is"
        self._connect = connect
        self._delay = delay
        self._draw = random.Random(seed)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, target: int | Path, *, delay: float = 0.1) -> AsyncIterator[Proxy]:
        """Stand before a port of this machine, or a Unix socket, within an `async with`."""

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            if isinstance(target, Path):
                return await asyncio.open_unix_connection(str(target))
            return await asyncio.open_connection("127.0.0.1", target)

        proxy = cls(connect, delay=delay)
        await proxy.behave("as it is")
        try:
            yield proxy
        finally:
            await proxy.behave("cut off")

    async def behave(self, behaviour: Behaviour) -> None:
        """Do so from now on, on the connections that there are and on new ones."""
        self.behaviour = behaviour
        if behaviour == "hangs":
            self._flowing.clear()
        else:
            self._flowing.set()
        if behaviour == "cut off":
            await self._cut()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving, timeout=5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._flowing.wait()
            with contextlib.suppress(OSError):
                to_server = await self._connect()
                try:
                    await self._both_ways((reader, writer), to_server)
                finally:
                    to_server[1].transport.abort()
        except asyncio.CancelledError:
            # Cut off; a server of streams would take it for an error.
            pass
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _both_ways(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        ways = [
            asyncio.create_task(self._pass_on(client[0], server[1], answers=False)),
            asyncio.create_task(self._pass_on(server[0], client[1], answers=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await reader.read(_CHUNK):
            await self._flowing.wait()
            if answers and self.behaviour == "slow":
                await asyncio.sleep(self._delay)
            elif answers and self.behaviour == "lies":
                data = self._draw.randbytes(len(data))
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
