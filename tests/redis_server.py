"""A Redis server of the tests' own, that can be frozen, killed and started again where it was."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

from roadworthy.redis.address import Address
from roadworthy.redis.connection import Connection
from roadworthy.redis.link import Link, connect
from roadworthy.redis.protocol import pack


class RedisServer:
    """A `redis-server` on a port and a socket of its own, which keeps nothing on disk."""

    def __init__(self, *options: str) -> None:
        # The path of a socket must be short.
        directory = self._directory = Path(tempfile.mkdtemp(prefix="rw-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket_url = f"unix://{directory}/redis.sock?db=0"
        self._command = [
            "redis-server",
            *("--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", f"{directory}/redis.sock"),
            *("--dir", str(directory), "--save", "", "--appendonly", "no"),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(100) == b"+PONG\r\n":
                    return
            assert time.monotonic() < until, "Redis does not start"
            time.sleep(0.02)

    async def start(self) -> None:
        """Launch it from a coroutine."""
        await asyncio.to_thread(self.launch)

    def stop(self) -> None:
        """Kill it with all that it holds."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def remove(self) -> None:
        """Kill it, and leave nothing behind."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def execute(self, *parts: str | int) -> object:
        """Do one command on a connection of its own."""
        address = Address(port=self.port)
        link = await connect(address, lambda: Link(60.0, lambda _: None), name="test", patience=60.0, security=None)
        try:
            return await link.send(pack(*parts))
        finally:
            link.drop("done")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it hang within a `with`: connections are accepted, and nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if self._process is not None:
                os.kill(self._process.pid, signal.SIGCONT)


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[RedisServer]:
    """A server with these options on its command line."""
    server = RedisServer(*options)
    try:
        await server.start()
        yield server
    finally:
        server.remove()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def begun(url: str, service: str) -> None:
    """Have the caches of `service` have begun long ago, so that no stamp is too old for the server."""
    async with Connection.open(Address.parse(url), name="test", timeout=timedelta(seconds=60)) as connection:
        await connection.execute("SET", f"{service}:cache:v1:epoch", bytes(8))
