"""The service on a database of its own, and a client of its application."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from events import SECRET

from roadworthy import Service, testing

# Not within a fixture: it declares what the service opens when it starts.
from vitals.app import app
from vitals.service import service


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """The service, bound to a fresh database, with a secret."""
    monkeypatch.setenv("VITALS_SECRET_AGGREGATOR", SECRET)
    async with testing.running(service):
        yield service


@pytest.fixture
async def client(running: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, without a network between."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://vitals.test") as client:
        yield client
