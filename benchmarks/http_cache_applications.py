"""The applications that the benchmark of HTTP caches compares: one page, made anew each time, or kept."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Response
from hishel import AsyncBaseStorage, Entry, Headers
from hishel import Request as HishelRequest
from hishel import Response as HishelResponse
from hishel.asgi import ASGICacheMiddleware

from benchmarks.http_applications import Application, with_ours
from roadworthy.edge.memory import MemoryResponses
from roadworthy.http.caching import HTTPCache

BARE = "limit: a bare ASGI answer"
UNCACHED = "the same, uncached"
OURS = "roadworthy"
ALONE = "roadworthy's cache without its stack"
HISHEL = "hishel, in memory"

SUBJECTS = (BARE, UNCACHED, OURS, ALONE, HISHEL)
PATH = "/pages/7"
_PAGE = {"number": 7, "text": "x" * 500}


def page() -> FastAPI:
    """Return the application: a page of half a kilobyte that may be kept for an hour."""
    app = FastAPI()

    @app.get("/pages/{number}")
    async def read(number: int, response: Response) -> dict[str, Any]:
        response.headers["cache-control"] = "public, max-age=3600"
        return _PAGE | {"number": number}

    return app


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answer with as many bytes."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"application/json"), (b"content-length", b"525")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 525})


class HishelMemory(AsyncBaseStorage):
    """The least that hishel asks of a storage: it comes with SQLite and Redis, which would be slower."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str, list[tuple[Entry, bytes]]] = {}

    async def create_entry(
        self,
        request: HishelRequest,
        response: HishelResponse,
        key: str,
        *,
        ttl: float | None = None,
        tti: float | None = None,
    ) -> Entry:
        """Keep a response once its body is read."""
        entry = Entry(id=uuid.uuid4(), request=request, response=response)
        body: Any = response.stream

        async def saved() -> AsyncIterator[bytes]:
            chunks = []
            async for chunk in body:
                chunks.append(chunk)
                yield chunk
            self._entries.setdefault(key, []).append((entry, b"".join(chunks)))

        return replace(entry, response=replace(response, stream=saved()))

    async def get_entries(self, key: str) -> list[Entry]:
        """Return what is kept under a key."""
        return [
            replace(entry, response=replace(entry.response, stream=_once(body)))
            for entry, body in self._entries.get(key, ())
        ]

    async def update_headers(self, id: uuid.UUID, headers: Headers) -> None:
        """Do nothing: nothing here gets stale."""

    async def remove_entry(self, id: uuid.UUID) -> None:
        """Do nothing: nothing here is removed."""


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def variants() -> dict[str, Application]:
    """Return the application by subject."""
    return {
        BARE: bare,
        UNCACHED: with_ours(page()),
        OURS: with_ours(page(), caching=lambda app: HTTPCache(app, MemoryResponses())),
        ALONE: HTTPCache(page(), MemoryResponses()),
        HISHEL: ASGICacheMiddleware(page(), storage=HishelMemory()),
    }


def served() -> Application:
    """Return the application that a server process of the benchmark is to serve."""
    return variants()[os.environ["BENCHMARK_SUBJECT"]]
