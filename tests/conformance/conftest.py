"""Each test once for every engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from roadworthy.runtime.scratch import ScratchServer

from .engines import Backend, memory_backend, postgres_backend


@pytest.fixture(params=["memory", "postgres"])
def server(request: pytest.FixtureRequest) -> ScratchServer | None:
    """PostgreSQL, started only for the engine that needs it."""
    if request.param == "memory":
        return None
    started: ScratchServer = request.getfixturevalue("postgres_server")
    return started


@pytest.fixture
async def backend(server: ScratchServer | None) -> AsyncIterator[Backend]:
    """An empty engine."""
    if server is None:
        async with memory_backend() as opened:
            yield opened
        return
    async with server.database() as dsn, postgres_backend(dsn) as opened:
        yield opened
