"""Resources: opened with the service, closed with it, and an error that names the fix outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from roadworthy import NotRunning, Service
from roadworthy.binding import Binding

UNUSED_BINDING = cast(Binding, object())


async def test_a_resource_is_open_exactly_while_its_service_is_bound() -> None:
    events: list[str] = []
    service = Service("example")

    @asynccontextmanager
    async def connections() -> AsyncIterator[str]:
        events.append("open")
        yield "pool"
        events.append("close")

    handle = service.resource(connections)
    with pytest.raises(NotRunning, match="resource 'connections'"):
        _ = handle.value
    async with service.bind(UNUSED_BINDING):
        assert handle.value == "pool"
        assert events == ["open"]
    assert events == ["open", "close"]
    with pytest.raises(NotRunning):
        _ = handle.value


async def test_resources_close_in_the_opposite_order_also_after_an_error() -> None:
    events: list[str] = []
    service = Service("example")

    def resource(name: str) -> None:
        @asynccontextmanager
        async def opened() -> AsyncIterator[None]:
            try:
                yield
            finally:
                events.append(name)

        service.resource(opened)

    resource("first")
    resource("second")
    with pytest.raises(RuntimeError, match="boom"):
        async with service.bind(UNUSED_BINDING):
            raise RuntimeError("boom")
    assert events == ["second", "first"]
    assert not service.bound
