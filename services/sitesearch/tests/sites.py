"""Small web sites on loopback for tests: what each path answers is a function over the raw connection."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: its target, path and query, lower-case header names, and when by the loop's clock."""

    target: str
    headers: Mapping[str, str]
    at: float

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Site:
    """A site that serves. `otherwise` answers paths without a route of their own."""

    port: int = 0
    routes: dict[str, Handler] = field(default_factory=dict)
    otherwise: Handler | None = None
    requests: list[Request] = field(default_factory=list)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        """The targets that were asked for, in order."""
        return [request.target for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                request = Request(first.split(" ")[1], headers, asyncio.get_running_loop().time())
                self.requests.append(request)
                handler = self.routes.get(request.target) or self.routes.get(request.path) or self.otherwise
                await (handler or answer("not here", status=404))(request, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def cut(self) -> None:
        """End every connection."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[Site]:
    """Serve a site for the time of an `async with`; connections still open then are cut."""
    server = await asyncio.start_server(site.serve, "127.0.0.1", site.port)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        await site.cut()
        await server.wait_closed()


def answer(
    body: str | bytes = "",
    *,
    status: int = 200,
    media_type: str = "text/html; charset=utf-8",
    headers: Mapping[str, str] | None = None,
) -> Handler:
    """A whole answer at once."""
    content = body.encode() if isinstance(body, str) else body
    phrase = HTTPStatus(status).phrase

    async def handle(_: Request, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Length: {len(content)}"]
        if media_type:
            lines.append(f"Content-Type: {media_type}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)

    return handle


def redirect(location: str, status: int = 302) -> Handler:
    """A redirect."""
    return answer(status=status, headers={"Location": location})


def page(title: str, *links: str, text: str = "", head: str = "") -> Handler:
    """A small page with links."""
    anchors = "".join(f'<p><a href="{link}">{link}</a></p>' for link in links)
    return answer(
        f"<html><head><title>{title}</title>{head}</head><body><h1>{title}</h1><p>{text}</p>{anchors}</body></html>"
    )


def files(directory: Path) -> Handler:
    """The files of a directory, as any static server gives them."""
    root = directory.resolve()

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        path = (root / unquote(request.path).lstrip("/")).resolve()
        if path.is_dir():
            path /= "index.html"
        if not path.is_file() or not path.is_relative_to(root):
            await answer("not here", status=404)(request, writer)
            return
        status = path.stat()
        tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        if request.headers.get("if-none-match") == tag:
            writer.write(b"HTTP/1.1 304 Not Modified\r\n\r\n")
            return
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        await answer(path.read_bytes(), media_type=media_type, headers={"ETag": tag})(request, writer)

    return handle
