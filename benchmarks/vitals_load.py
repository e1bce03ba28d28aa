"""Sends signed webhooks at a steady rate and prints how long each took, as JSON; a process of its own.

    python -m benchmarks.vitals_load PORT RATE SECONDS CONNECTIONS

The load is open: a request is due at its moment, whether or not earlier ones were answered, and its time counts from
then, so that a server that stalls is charged for all who wait. Everything is made and signed before the first is sent.
The secret comes from the environment, as the service's does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections import Counter, deque
from datetime import UTC, datetime, timedelta

from vitals.sample import payload
from vitals.webhooks.signature import FORMAT, HEADER

PEOPLE = 2000
_KINDS = (("GARMIN", "daily"), ("GARMIN", "sleep"), ("GARMIN", "activity"), ("WITHINGS", "body"))
_LAST_ANSWER = 30.0


def requests(count: int, secret: bytes, draw: random.Random) -> list[bytes]:
    """Return so many requests, each of a new event about one of two thousand people in the last three weeks."""
    now, made = datetime.now(UTC), []
    for number in range(count):
        source, kind = _KINDS[number % len(_KINDS)]
        morning = (now - timedelta(days=draw.randrange(1, 20))).replace(hour=0, minute=0, second=0, microsecond=0)
        reference = f"load-{draw.randrange(PEOPLE)}"
        created = min(now, morning + timedelta(hours=30))
        body = json.dumps(payload(reference, source, kind, morning, created, draw)).encode()
        proof = FORMAT.sign(body, [secret], now=time.time())[HEADER]
        head = (
            "POST /webhooks/aggregator HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"{HEADER}: {proof}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


class Connection(asyncio.Protocol):
    """One kept-alive connection, which has one request on its way at most."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, request: bytes, due: float) -> None:
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, mark, body = self._answer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._answer = b""
        self._load.answered(self, int(head[9:12]), self._due)

    def connection_lost(self, error: Exception | None) -> None:
        self._load.lost(self)


class Load:
    """All requests, and what became of them."""

    def __init__(self, waiting: list[bytes], rate: float) -> None:
        self.times: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self.done = asyncio.Event()
        self._waiting = waiting
        self._rate = rate
        self._free: deque[Connection] = deque()
        self._late: deque[tuple[bytes, float]] = deque()

    async def run(self, port: int, connections: int) -> float:
        """Send everything when it is due; return the seconds from the first moment due to the last answer."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", port)
            self._free.append(connection)
        began = time.perf_counter()
        for number, request in enumerate(self._waiting):
            due = began + number / self._rate
            while (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            self._send(request, due)
            if number % 50 == 0:
                await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWER):
                await self.done.wait()
        self.outcomes["unanswered"] = len(self._waiting) - self.outcomes.total()
        return time.perf_counter() - began

    def _send(self, request: bytes, due: float) -> None:
        if self._free:
            self._free.popleft().send(request, due)
        else:
            self._late.append((request, due))

    def answered(self, connection: Connection, status: int, due: float) -> None:
        self.times.append(time.perf_counter() - due)
        self._count(str(status))
        if self._late:
            connection.send(*self._late.popleft())
        else:
            self._free.append(connection)

    def lost(self, connection: Connection) -> None:
        self._free = deque(each for each in self._free if each is not connection)
        self._count("lost")

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1
        if self.outcomes.total() >= len(self._waiting):
            self.done.set()


async def main() -> None:
    """Send the load that the command line asks for and print what came of it."""
    port, rate, seconds, connections = (float(text) for text in sys.argv[1:])
    secret = os.environ["VITALS_SECRET_AGGREGATOR"].encode()
    made = requests(round(rate * seconds), secret, random.Random())
    load = Load(made, rate)
    used = time.process_time()
    took = await load.run(int(port), int(connections))
    used = time.process_time() - used
    times = sorted(load.times)
    found = {
        "sent": len(made),
        "outcomes": load.outcomes,
        "rate": len(times) / took,
        "p50": 1000 * times[len(times) // 2],
        "p99": 1000 * times[int(0.99 * (len(times) - 1))],
        "longest": 1000 * times[-1],
        "processor": used / took,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
