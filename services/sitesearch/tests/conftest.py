"""The service on a database of its own, and a client of its application."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from corpus import add_site

from roadworthy import Service, testing
from sitesearch.search.find import Site
from sitesearch.service import keys, pages, service


@pytest.fixture
async def running() -> AsyncIterator[Service]:
    """The service, bound to a fresh database."""
    async with testing.running(service):
        yield service


@pytest.fixture
async def garden(running: Service) -> Site:
    """A small site, indexed."""
    return await add_site(pages)


@pytest.fixture
async def client(running: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, without a network between, that shows the API a key of who runs the service."""
    from sitesearch.app import app

    admin = await keys.issue("tests", scopes=keys.spec.scopes, actor="test")

    async def show_key(request: httpx.Request) -> None:
        if request.url.path.startswith("/api/v1/sites"):
            request.headers.setdefault("authorization", f"Bearer {admin.secret}")

    transport = httpx.ASGITransport(app)
    hooks = {"request": [show_key]}
    async with httpx.AsyncClient(transport=transport, base_url="http://site.test", event_hooks=hooks) as client:
        yield client
