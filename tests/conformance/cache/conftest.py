"""Each test once for every store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from roadworthy.runtime.scratch import ScratchServer

from .stores import KINDS, Backend, Kind, RedisServer, dictionary_backend, postgres_backend, redis_backend, redis_server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests; each finds it empty."""
    with redis_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture
def server(kind: Kind, request: pytest.FixtureRequest) -> RedisServer | ScratchServer | None:
    """A server of the kind, started for the first test that asks."""
    if kind == "dictionary":
        return None
    started: RedisServer | ScratchServer = request.getfixturevalue("redis" if kind == "redis" else "postgres_server")
    return started


@pytest.fixture
async def backend(server: RedisServer | ScratchServer | None) -> AsyncIterator[Backend]:
    """An empty store."""
    if isinstance(server, RedisServer):
        async with redis_backend(server) as opened:
            yield opened
    elif isinstance(server, ScratchServer):
        async with postgres_backend(server) as opened:
            yield opened
    else:
        async with dictionary_backend() as opened:
            yield opened
