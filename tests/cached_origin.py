"""An application behind the HTTP cache, and a client of it, without a server and with a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from roadworthy.edge.memory import MemoryResponses
from roadworthy.http.caching import HTTPCache

NOW = 1_750_000_000.0
Pairs = Iterable[tuple[str, str]] | Mapping[str, str]


@dataclass
class Clock:
    """Time that stands still until a test moves it."""

    now: float = NOW

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class Asked:
    """A request as the application got it."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Reply:
    """What the application answers; `chunks` replaces `body`, `error` is raised once they are sent."""

    status: int = 200
    headers: Pairs = ()
    body: bytes = b"content"
    chunks: list[bytes] | None = None
    error: Exception | None = None


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]


def pairs(headers: Pairs) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI has them."""
    items = headers.items() if isinstance(headers, Mapping) else headers
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in items]


def scope_of(method: str, url: str, headers: Pairs = ()) -> dict[str, Any]:
    """Return the ASGI scope of a request."""
    path, _, query = url.partition("?")
    return {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"example.org"), *pairs(headers)],
    }


@dataclass
class Cached:
    """The cache in front of an application; `reply` is one, a list to take one after another, or a function."""

    reply: Any = field(default_factory=Reply)
    options: dict[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    asked: list[Asked] = field(default_factory=list)
    gate: asyncio.Event | None = None

    def __post_init__(self) -> None:
        options = {"storage": MemoryResponses(clock=self.clock), "clock": self.clock} | self.options
        storage = options.pop("storage")
        self.cache = HTTPCache(self.application, storage, **options)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as told."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        asked = Asked(scope["method"], scope["path"], headers)
        self.asked.append(asked)
        if self.gate is not None:
            await self.gate.wait()
        reply = self.reply(asked) if callable(self.reply) else self.reply
        if isinstance(reply, list):
            reply = reply[min(len(self.asked), len(reply)) - 1]
        chunks = [reply.body] if reply.chunks is None else reply.chunks
        if reply.error is not None and not chunks:
            raise reply.error
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs(reply.headers)})
        for index, chunk in enumerate(chunks):
            more = index < len(chunks) - 1 or reply.error is not None
            await send({"type": "http.response.body", "body": chunk, "more_body": more})
        if reply.error is not None:
            raise reply.error

    async def ask(self, url: str = "/page", headers: Pairs = (), method: str = "GET") -> Answer:
        """Send a request through the cache."""
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        await self.cache(scope_of(method, url, headers), receive, send)
        start, *rest = messages
        return Answer(
            start["status"],
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]],
            b"".join(message.get("body", b"") for message in rest),
        )

    async def settle(self) -> None:
        """Let what is fetched in the background be done."""
        for _ in range(100):
            await asyncio.sleep(0)


def caching(value: str, **headers: str) -> list[tuple[str, str]]:
    """Return a `Cache-Control` and other headers, underscores for hyphens."""
    return [("cache-control", value), *((name.replace("_", "-"), text) for name, text in headers.items())]
