"""The channel between the supervisor and each of its processes: length-prefixed MessagePack over a socket pair."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Generic, Literal, TypeVar

import msgspec

from roadworthy.telemetry.exposition import Snapshot

ProcessState = Literal["starting", "ready", "stalled", "draining", "waiting", "stopped"]
"""What a supervised process does; a `stalled` worker takes no jobs, `waiting` is between its end and its next start."""

_LENGTH = 4
_CLOSE_TIMEOUT = 2.0
_LONGEST = 64 * 1024 * 1024


class Boot(msgspec.Struct, frozen=True, tag=True):
    """The first message to a process: what it is to be.

    `grace` is the time in seconds that it has to end, once told or once its supervisor is gone. `listener` is the
    descriptor of the socket to serve on, `ledger` that of the memory to count in.
    """

    target: str
    grace: float
    drain_delay: float = 0.0
    queue: str | None = None
    listener: int | None = None
    ledger: int | None = None


class Drain(msgspec.Struct, frozen=True, tag=True):
    """To a process: finish what is under way, begin nothing, and end."""


class Retire(msgspec.Struct, frozen=True, tag=True):
    """To a worker: take no more jobs, finish those that run however long they take, and end."""


class Scrape(msgspec.Struct, frozen=True, tag=True):
    """To a process: send `Metrics` now."""


class Changed(msgspec.Struct, frozen=True, tag=True):
    """From a process: it is in another state."""

    state: ProcessState


class Metrics(msgspec.Struct, frozen=True, tag=True):
    """From a process: what its registry holds."""

    snapshot: Snapshot


class Alive(msgspec.Struct, frozen=True, tag=True):
    """From a process: it runs, and its ledger has what it counted up to now."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """From a process that cannot go on: why, in words for the operator."""

    reason: str


Command = Boot | Drain | Retire | Scrape
Report = Changed | Metrics | Alive | Failed

Received = TypeVar("Received")


class Channel(Generic[Received]):
    """One end of the channel, receiving messages of one type."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: msgspec.msgpack.Decoder[Received]
    ) -> None:
        """Use `to_process` or `to_supervisor`."""
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()

    async def send(self, message: Command | Report) -> None:
        """Send one message; one that the other end no longer reads is lost, as that end is."""
        if self._writer.is_closing():
            # uvloop calls it a mistake to write then.
            return
        data = self._encoder.encode(message)
        try:
            self._writer.write(len(data).to_bytes(_LENGTH, "big") + data)
            await self._writer.drain()
        except OSError:
            self._writer.close()

    async def receive(self) -> Received | None:
        """Return the next message, None once the other end is closed.

        Raises:
            msgspec.DecodeError: the other end speaks another language.
        """
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH), "big")
            if length > _LONGEST:
                raise msgspec.DecodeError(f"a message of {length} bytes is over the limit of {_LONGEST}")
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            return None
        return self._decoder.decode(data)

    async def close(self) -> None:
        """Close this end, once what was sent is on its way."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._writer.wait_closed()


async def to_process(end: socket.socket) -> Channel[Report]:
    """Return the supervisor's end of a channel."""
    reader, writer = await asyncio.open_unix_connection(sock=end)
    return Channel(reader, writer, msgspec.msgpack.Decoder(Report))


async def to_supervisor(end: socket.socket) -> Channel[Command]:
    """Return a process's end of a channel."""
    reader, writer = await asyncio.open_unix_connection(sock=end)
    return Channel(reader, writer, msgspec.msgpack.Decoder(Command))
