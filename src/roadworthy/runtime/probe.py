"""Ask an address of this machine whether it answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket

_POLL_SECONDS = 0.05
_TIMEOUT = 2.0


async def until_ready(listener: socket.socket, path: str) -> None:
    """Return once `path` is answered with status 200 on the listener's address; wait for ever otherwise."""
    while not await _answers(listener, path):
        await asyncio.sleep(_POLL_SECONDS)


async def _answers(listener: socket.socket, path: str) -> bool:
    host, port = listener.getsockname()[:2]
    # The address that means every one of the machine's own is no address to connect to everywhere.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # nosec B104  # replaced, never bound
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            status = await reader.readline()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return status.split(b" ")[1:2] == [b"200"]
