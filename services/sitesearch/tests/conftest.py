"""The service on a database of its own, and a client of its application."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from corpus import add_site

from roadworthy import Service, testing
from sitesearch.search.find import Site
from sitesearch.service import pages, service


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
    """A client of the application, without a network between."""
    from sitesearch.app import app

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://site.test") as client:
        yield client
