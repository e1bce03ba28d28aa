"""A server that speaks Redis's protocol and does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from roadworthy.redis.address import Address
from roadworthy.redis.protocol import NOTHING, parser

Command = list[bytes]
Answer = Callable[[Command], bytes | None]


def polite(command: Command) -> bytes | None:
    """Answer everything: GET with the key itself, anything else with OK."""
    if command[0] == b"GET":
        return b"$%d\r\n%b\r\n" % (len(command[1]), command[1])
    return b"+OK\r\n"


class Scripted:
    """What came in, and ways to misbehave. `answer` gives the bytes for a command, None for none."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.answer: Answer = polite
        self.connections: list[asyncio.StreamWriter] = []
        self.address = Address()
        self.serving: set[asyncio.Task[object]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        self.connections.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        parsing = parser()
        while data := await reader.read(65536):
            parsing.feed(data)
            while (command := parsing.gets()) is not NOTHING:
                assert isinstance(command, list)
                self.commands.append(command)
                if (reply := self.answer(command)) is not None:
                    writer.write(reply)
        writer.close()

    def say(self, data: bytes) -> None:
        """Send this over every connection."""
        for writer in self.connections:
            writer.write(data)

    def cut(self) -> None:
        """Close every connection."""
        for writer in self.connections:
            writer.close()
        self.connections.clear()


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """A scripted server at `address` of the test's own loop."""
    script = Scripted()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.address = Address(port=server.sockets[0].getsockname()[1])
    try:
        yield script
    finally:
        server.close()
        script.cut()
        await server.wait_closed()
        if script.serving:
            await asyncio.wait(script.serving, timeout=60)


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition, with a bound."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
