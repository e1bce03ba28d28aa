"""The service on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from roadworthy import Service, testing
from vitals.service import service


@pytest.fixture
async def running() -> AsyncIterator[Service]:
    """The service, bound to a fresh database."""
    async with testing.running(service):
        yield service
