"""A plain reverse proxy as an ASGI application, for what is to be seen through the HTTP cache as it is.

It passes on what it gets, repeated and odd headers too, but for those that concern one connection. Each request has a
connection of its own, so that an origin whose responses are not well-formed cannot mix them up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from roadworthy.edge.fields import NOT_STORED, members
from roadworthy.edge.memory import MemoryResponses
from roadworthy.http.asgi import ASGIApp, Headers, Receive, Scope, Send
from roadworthy.http.caching import HTTPCache

_TIMEOUT = 20.0
_OF_A_CONNECTION = NOT_STORED - {b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization"}


class ReverseProxy:
    """Sends every request to one origin."""

    def __init__(self, host: str, port: int) -> None:
        """Send requests to `host` and `port`."""
        self._origin = (host, port)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with the origin's response. Raise OSError where there is none."""
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        body = await _body(receive)
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(*self._origin)
            try:
                writer.write(_request(scope, body))
                status, headers = await _head(reader)
                await send({"type": "http.response.start", "status": status, "headers": _end_to_end(headers)})
                if scope["method"] != "HEAD" and status not in {204, 304}:
                    async for chunk in _content(reader, headers):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                writer.close()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


def _end_to_end(headers: Headers) -> Headers:
    named = set(members(value for name, value in headers if name == b"connection"))
    return [(name, value) for name, value in headers if name not in _OF_A_CONNECTION and name not in named]


def _request(scope: Scope, body: bytes) -> bytes:
    target = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    headers = [pair for pair in _end_to_end(scope["headers"]) if pair[0] != b"content-length"]
    if body or scope["method"] not in {"GET", "HEAD"}:
        headers.append((b"content-length", b"%d" % len(body)))
    headers.append((b"connection", b"close"))
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), target), *(b"%b: %b" % pair for pair in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def _head(reader: asyncio.StreamReader) -> tuple[int, Headers]:
    """Return status and headers of the final response; interim ones cannot be passed on in ASGI."""
    while True:
        line = await reader.readline()
        if not line:
            raise ConnectionError("the origin closed the connection without a response")
        status = int(line.split(None, 2)[1])
        headers: Headers = []
        while line := (await reader.readline()).rstrip(b"\r\n"):
            name, _, value = line.partition(b":")
            headers.append((name.strip().lower(), value.strip()))
        if status >= 200:
            return status, headers


async def _content(reader: asyncio.StreamReader, headers: Headers) -> AsyncIterator[bytes]:
    fields: dict[bytes, bytes] = dict(headers)
    coding = fields.get(b"transfer-encoding", b"").lower()
    if coding.endswith(b"chunked"):
        while size := int((await reader.readline()).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readline()
    elif not coding and b"content-length" in fields:
        yield await reader.readexactly(int(fields[b"content-length"]))
    else:
        while chunk := await reader.read(65536):
            yield chunk


def cached() -> ASGIApp:
    """Return the proxy of the origin at `ORIGIN_PORT` behind the HTTP cache, as it is without any option."""
    proxy: Any = ReverseProxy("127.0.0.1", int(os.environ["ORIGIN_PORT"]))
    return HTTPCache(proxy, MemoryResponses())
