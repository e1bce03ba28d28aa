"""A small HTTP/1.1 client for the APIs of CDNs: one exchange a connection, everything bounded.

Source: RFC 9112. It follows no redirect and knows no proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

_LONGEST_LINE = 16 * 1024
_MOST_HEADERS = 200
_LARGEST_BODY = 1024 * 1024


class NoResponse(Exception):
    """There was no whole response: no connection, a time-out, a reset, or something that is no HTTP; says which."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response; header names are in lower case, the last of several alike is kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client(Protocol):
    """What an API needs of a client."""

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Make one request and return its response, or raise NoResponse."""


class HttpClient:
    """The client over sockets. `timeout` bounds an exchange from connecting to the last byte, in seconds."""

    def __init__(self, *, timeout: float = 15.0, context: ssl.SSLContext | None = None) -> None:
        """Verify servers' certificates by `context`, by default the system's authorities."""
        self._timeout = timeout
        self._context = context

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Make one request and return its response.

        Raises:
            NoResponse: there was none in time. Whether the server did what was asked is not known.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(method, url, headers, body)
        except TimeoutError:
            raise NoResponse(f"no answer in {self._timeout:g} s") from None
        except (OSError, EOFError, ValueError) as error:
            raise NoResponse(f"{type(error).__name__}: {error}") from error

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Response:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        if secure and self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)
        reader, writer = await asyncio.open_connection(
            parts.hostname,
            parts.port or (443 if secure else 80),
            ssl=self._context if secure else None,
            limit=_LONGEST_LINE,
        )
        try:
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            # A Host of the caller's is for caches, which tell sites apart by it.
            sent = {"Host": parts.netloc, **headers, "Content-Length": str(len(body)), "Connection": "close"}
            writer.write(_head(method, target, sent) + body)
            await writer.drain()
            return await _response(reader, method)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _response(reader: asyncio.StreamReader, method: str) -> Response:
    status, headers = await _head_of(reader)
    while 100 <= status < 200:
        status, headers = await _head_of(reader)
    if method == "HEAD" or status in (204, 304):
        return Response(status, headers, b"")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = await _chunked(reader)
    elif (length := headers.get("content-length")) is not None:
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            raise ValueError(f"a body of {length} bytes")
        body = await reader.readexactly(int(length))
    else:
        body = await _to_the_end(reader)
    return Response(status, headers, body)


async def _head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    version, _, rest = (await _line(reader)).partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or not code.isdecimal() or len(code) != 3:
        raise ValueError("an answer that is no HTTP/1.1")
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = await _line(reader)
        if not line:
            return int(code), headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise ValueError(f"an answer of more than {_MOST_HEADERS} headers")


async def _line(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the connection ended within an answer")
    return line.decode("latin-1").rstrip("\r\n")


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = int((await _line(reader)).partition(";")[0], 16)
        if size < 0 or len(body) + size > _LARGEST_BODY:
            raise ValueError(f"a body of more than {_LARGEST_BODY} bytes")
        if size == 0:
            return bytes(body)
        body += await reader.readexactly(size)
        await _line(reader)


async def _to_the_end(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while piece := await reader.read(_LONGEST_LINE):
        body += piece
        if len(body) > _LARGEST_BODY:
            raise ValueError(f"a body of more than {_LARGEST_BODY} bytes")
    return bytes(body)
