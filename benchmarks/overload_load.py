"""An open load over HTTP/1.1: requests leave when they are due, whatever became of those before; a process of its own.

    python -m benchmarks.overload_load PORT PATH RATE SECONDS [--even] [--seed N] [--method METHOD] [--closed N]

Prints one JSON object: for each request when it was due, in seconds since the beginning, its latency in seconds from
then and its status, 0 for one that was given up; and the same for probes, ten of which are sent a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from typing import cast

from roadworthy.runtime import loop

PATIENCE = 2.0
"""Seconds after which a client gives up and hangs up."""
_MOST_CONNECTIONS = 2000
_PROBES_PER_SECOND = 10
Record = tuple[float, float, int]


class Connection(asyncio.Protocol):
    """One connection, which carries one request at a time and goes back to the others once it is answered."""

    def __init__(self, load: Load) -> None:
        """Serve `load`."""
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._due: float | None = None
        self._giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at `due`."""
        assert self._transport is not None
        self._due = due
        left = max(0.0, due + PATIENCE - time.perf_counter())
        self._giving_up = asyncio.get_running_loop().call_later(left, self._give_up)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take the response, once all of it is there."""
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        headers = bytes(self._received[:head]).lower()
        length = int(headers.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self._received) < head + 4 + length:
            return
        status = int(self._received[9:12])
        self._received.clear()
        self._end(status)
        self._load.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Count a request that was under way as failed."""
        if self in self._load.idle:
            self._load.idle.remove(self)
        self._end(0)
        self._load.connections -= 1

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self) -> None:
        self._end(0)
        self.close()

    def _end(self, status: int) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
        due, self._due = self._due, None
        if due is not None:
            self._load.records.append((due - self._load.began, time.perf_counter() - due, status))


class Load:
    """Requests to one path of a server, and what became of them."""

    def __init__(self, port: int, path: str, method: str = "GET") -> None:
        """Ask the server at `port` of this machine for `path`."""
        self.port = port
        self.records: list[Record] = []
        self.idle: list[Connection] = []
        self.connections = 0
        self.began = 0.0
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        self._request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{length}\r\n".encode()
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, due: float) -> None:
        """Send one request, on a connection that is idle or a new one."""
        if self.idle:
            self.idle.pop().send(self._request, due)
        elif self.connections < _MOST_CONNECTIONS:
            self.connections += 1
            task = asyncio.get_running_loop().create_task(self._send_on_new(due))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self.records.append((due - self.began, PATIENCE, 0))

    async def _send_on_new(self, due: float) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self), "127.0.0.1", self.port
                )
        except OSError:
            self.connections -= 1
            self.records.append((due - self.began, time.perf_counter() - due, 0))
            return
        connection.send(self._request, due)

    async def run_closed(self, callers: int, seconds: float) -> None:
        """Have so many callers send one request after the other."""
        self.began = time.perf_counter()
        sent = 0
        while time.perf_counter() - self.began < seconds:
            while sent - len(self.records) < callers:
                sent += 1
                self.send(time.perf_counter())
            await asyncio.sleep(0)
        for _ in range(int(PATIENCE * 120)):
            if len(self.records) >= sent:
                break
            await asyncio.sleep(0.01)
        for connection in list(self.idle):
            connection.close()

    async def run(self, dues: list[float]) -> None:
        """Send a request at each of `dues`, in seconds from now, and wait until each has an end."""
        self.began = time.perf_counter()
        for due in dues:
            if (wait := self.began + due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            self.send(self.began + due)
        for _ in range(int(PATIENCE * 120)):
            if len(self.records) >= len(dues):
                break
            await asyncio.sleep(0.01)
        for connection in list(self.idle):
            connection.close()


def dues(rate: float, seconds: float, *, even: bool, seed: int) -> list[float]:
    """Return when requests are due: `rate` a second, evenly or as a Poisson process."""
    draw = random.Random(seed)
    due, found = 0.0, []
    while (due := due + (1 / rate if even else draw.expovariate(rate))) < seconds:
        found.append(due)
    return found


async def loaded(options: argparse.Namespace) -> dict[str, list[Record]]:
    """Put the load on, and return what became of it."""
    load = Load(options.port, options.path, options.method)
    if options.closed:
        await load.run_closed(options.closed, options.seconds)
        return {"requests": load.records, "probes": []}
    probes = Load(options.port, "/livez")
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(dues(options.rate, options.seconds, even=options.even, seed=options.seed)))
        group.create_task(probes.run(dues(_PROBES_PER_SECOND, options.seconds, even=True, seed=0)))
    return {"requests": load.records, "probes": probes.records}


def main() -> None:
    """Put on the load that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload_load", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("rate", type=float, help="requests a second")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--even", action="store_true", help="at even distances")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--closed", type=int, default=0, help="so many callers one request after the other, at no rate")
    parser.add_argument("--seed", type=int, default=1)
    json.dump(loop.run(loaded(parser.parse_args())), sys.stdout)


if __name__ == "__main__":
    main()
