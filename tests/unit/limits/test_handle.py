"""The handle of a limit, bound to limiters that a test made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from roadworthy import DeclarationError, NotRunning, RateLimited, Service, seconds
from roadworthy.limits.limiters import Limiters
from roadworthy.limits.metrics import CATALOGUE, track
from roadworthy.telemetry.registry import MetricRegistry


class Bound:
    """All of a binding that a limit asks for."""

    def __init__(self, limits: Limiters | None) -> None:
        self.limits = limits


@pytest.fixture
def bind(monkeypatch: pytest.MonkeyPatch) -> Callable[[Service], Limiters]:
    def bound(service: Service) -> Limiters:
        limits = Limiters(service.name, service.spec.limits)
        monkeypatch.setattr(service, "_binding", Bound(limits))
        return limits

    return bound


@pytest.fixture
def service() -> Service:
    return Service("shop")


async def test_it_needs_a_running_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = service.limit("api", "2/minute")
    with pytest.raises(NotRunning, match="limit 'api'"):
        await limit.check("ann")
    monkeypatch.setattr(service, "_binding", Bound(None))
    with pytest.raises(NotRunning, match="limit 'api'"):
        await limit.check("ann")


async def test_it_decides_and_finds_the_limiter_of_a_service_that_runs_again(service: Service, bind: Any) -> None:
    limit = service.limit("api", "1/minute")
    first = bind(service)
    assert (await limit.check("ann")).admitted
    assert not (await limit.check("ann")).admitted
    first.close()
    bind(service)
    assert (await limit.check("ann")).admitted


async def test_a_denial_is_raised_where_it_is_required(service: Service, bind: Any) -> None:
    limit = service.limit("api", "2/minute")
    bind(service)
    assert (await limit.require("ann", 2)).remaining == 0
    with pytest.raises(RateLimited, match=r"limit 'api' admits 2 in 0:01:00, .* in 30 s") as raised:
        await limit.require("ann")
    assert raised.value.retry_after == pytest.approx(30, abs=1)
    assert raised.value.decision.limit == "api"
    with pytest.raises(RateLimited, match="never"):
        await limit.require("ann", 3)


async def test_a_cost_below_one_is_an_error(service: Service, bind: Any) -> None:
    limit = service.limit("api", "2/minute")
    bind(service)
    with pytest.raises(ValueError, match="cost=0"):
        await limit.check("ann", 0)


async def test_one_waits_until_units_have_come_back(service: Service, bind: Any) -> None:
    limit = service.limit("api", "50/second", burst=1)
    bind(service)
    began = time.monotonic()
    for _ in range(5):
        assert (await limit.wait("ann", timeout=seconds(10))).admitted
    assert time.monotonic() - began > 0.07


async def test_one_does_not_wait_for_what_comes_too_late(service: Service, bind: Any) -> None:
    limit = service.limit("api", "1/minute")
    bind(service)
    await limit.wait("ann", timeout=seconds(1))
    for cost in (1, 2):
        with pytest.raises(RateLimited):
            await asyncio.wait_for(limit.wait("ann", cost, timeout=seconds(5)), 60)


async def test_a_function_is_limited_by_its_arguments(service: Service, bind: Any) -> None:
    limit = service.limit("mail", "1/minute", by=None)
    sent = []

    @limit.limited(key="{user}")
    async def send(user: str, text: str = "") -> str:
        sent.append(user)
        return text

    bind(service)
    assert await send("ann", text="hello") == "hello"
    with pytest.raises(RateLimited):
        await send("ann")
    assert await send(user="10.0.0.1") == ""
    assert sent == ["ann", "10.0.0.1"]
    assert not (await limit.check("10.0.0.1")).admitted
    assert send.__name__ == "send"


async def test_a_template_of_several_tells_calls_apart(service: Service, bind: Any) -> None:
    limit = service.limit("mail", "1/minute", by=None)

    @limit.limited(key="{user}:{site}")
    async def send(user: str, site: int) -> None: ...

    bind(service)
    await send("a:1", 2)
    await send("a", 12)
    with pytest.raises(RateLimited):
        await send("a", 12)


def test_what_cannot_limit_a_function_is_refused(service: Service) -> None:
    limit = service.limit("mail", "5/minute", by=None)

    async def send(user: str) -> None: ...

    def plain(user: str) -> None: ...

    with pytest.raises(DeclarationError, match=r"limited function 'send' has key='\{name\}', but no parameter 'name'"):
        limit.limited(key="{name}")(send)
    with pytest.raises(DeclarationError, match="is not async"):
        limit.limited(key="{user}")(plain)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="cost=6"):
        limit.limited(key="{user}", cost=6)


async def test_metrics_tell_what_was_counted(service: Service, bind: Any) -> None:
    limit, shadow = service.limit("api", "2/minute"), service.limit("trial", "1/minute", shadow=True)
    registry = MetricRegistry(CATALOGUE)
    track(registry, bind(service))
    for _ in range(5):
        await limit.check("ann")
        await shadow.check("ann")

    def decided(limit: str, outcome: str) -> float | None:
        return registry.value("limit_decisions_total", {"limit": limit, "outcome": outcome})

    assert [decided("api", outcome) for outcome in ("admitted", "denied", "shadowed")] == [2, 3, 0]
    assert [decided("trial", outcome) for outcome in ("admitted", "denied", "shadowed")] == [1, 0, 4]
    assert registry.value("limit_sources_total", {"limit": "api", "source": "memory"}) == 5
    assert registry.value("limit_keys", {"limit": "api"}) == 1
    assert registry.value("limit_store_up") == 1
    await limit.check("bob")
    assert decided("api", "admitted") == 3
