"""The handles of dependencies and batches: what is declared is what each call passes, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest

from roadworthy import (
    Breaker,
    BreakerOpen,
    Bulkhead,
    BulkheadFull,
    DeadlineExceeded,
    DeclarationError,
    Dependency,
    KeyNotAnswered,
    NotRunning,
    Retry,
    Service,
    WrongThread,
    constant,
    last_known,
    seconds,
)
from roadworthy.binding import Binding
from roadworthy.bridge import BRIDGE, Bridge
from roadworthy.catalogue import catalogue
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.runtime import depending
from roadworthy.telemetry.registry import MetricRegistry

QUICK = Retry(first_wait=timedelta(0))


@dataclass
class Shop:
    """A service that depends on a geocoder."""

    service: Service
    geocoder: Dependency

    @classmethod
    def of(cls, **options: Any) -> Shop:
        service = Service("shop")
        return cls(service, service.dependency("geocoder", **{"retry": QUICK, **options}))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MetricRegistry]:
        registry = MetricRegistry(catalogue(self.service.spec))
        async with depending.opened(self.service.spec, registry) as dependencies:
            binding = Binding(cast(Any, None), MemoryEngine(), registry, dependencies=dependencies)
            async with self.service.bind(binding):
                yield registry


def _calls(registry: MetricRegistry, outcome: str) -> float | None:
    return registry.value("dependency_calls_total", {"dependency": "geocoder", "outcome": outcome})


async def test_a_call_and_what_is_told_of_it() -> None:
    shop = Shop.of(timeout=seconds(0.01), breaker=Breaker(size=4, minimum_calls=4), concurrency=Bulkhead(1))
    made = 0

    async def locate(address: str) -> str:
        nonlocal made
        made += 1
        match address:
            case "away":
                raise ConnectionError
            case "late":
                await asyncio.sleep(30)
        return address.upper()

    async with shop.running() as registry:
        call = shop.geocoder.call
        assert await call(locate, "here") == "HERE"
        for address, error in (("away", ConnectionError), ("late", DeadlineExceeded)):
            with pytest.raises(error):
                await call(locate, address)
        late = asyncio.create_task(call(locate, "late"))
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFull):
            await call(locate, "here")
        await asyncio.gather(late, return_exceptions=True)
        with pytest.raises(BreakerOpen):
            await call(locate, "here")
        assert await call(locate, "here", fallback=constant("NOWHERE")) == "NOWHERE"
        assert made == 4
        told = {
            outcome: _calls(registry, outcome) for outcome in ("answered", "failed", "late", "refused", "cancelled")
        }
        assert told == {"answered": 1, "failed": 1, "late": 2, "refused": 3, "cancelled": 0}
        refused = [
            registry.value("dependency_refusals_total", {"dependency": "geocoder", "by": by})
            for by in ("breaker", "bulkhead", "throttle")
        ]
        assert refused == [2, 1, 0]
        fallbacks = registry.value("dependency_fallbacks_total", {"dependency": "geocoder", "rung": "constant"})
        assert fallbacks == 1
        assert registry.value("dependency_call_duration_seconds_count", {"dependency": "geocoder"}) == 7
        assert registry.value("breaker_state", {"breaker": "geocoder"}) == 2
        assert registry.value("breaker_calls_total", {"breaker": "geocoder", "outcome": "rejected"}) == 2
        assert registry.value("dependency_calls_in_progress", {"dependency": "geocoder"}) == 0


async def test_idempotent_calls_are_tried_again_whoever_says_so() -> None:
    for all_are, said, attempts in ((False, None, 1), (False, True, 3), (True, None, 3), (True, False, 1)):
        shop, made = Shop.of(idempotent=all_are), 0

        async def fails() -> None:
            nonlocal made
            made += 1
            raise ConnectionError

        guarded = shop.geocoder.guarded(idempotent=said)(fails)
        async with shop.running() as registry:
            with pytest.raises(ConnectionError):
                await shop.geocoder.call(fails, idempotent=said)
            with pytest.raises(ConnectionError):
                await guarded()
            assert made == 2 * attempts
            retries = registry.value("dependency_retries_total", {"dependency": "geocoder"})
            assert retries == 2 * (attempts - 1)


async def test_a_guarded_function_says_which_rung_answered() -> None:
    shop, away = Shop.of(), False

    @shop.geocoder.guarded(fallback=[last_known(seconds(60))])
    async def locate(address: str, *, country: str = "de") -> str:
        """Where it is."""
        if away:
            raise ConnectionError("away")
        return f"{address}, {country}"

    @locate.fallback
    async def middle(address: str, *, country: str = "de") -> str:
        if address == "nowhere":
            raise LookupError
        return f"middle of {country}"

    assert locate.__doc__ == "Where it is."
    async with shop.running():
        answer = await locate.answer("a", country="fr")
        assert (answer.value, answer.rung, answer.error, answer.fell_back) == ("a, fr", "call", None, False)
        assert await locate("b") == "b, de"
        away = True
        answer = await locate.answer("a", country="fr")
        assert (answer.value, answer.rung) == ("a, fr", "last_known")
        assert isinstance(answer.error, ConnectionError)
        answer = await locate.answer("a")
        assert (answer.value, answer.rung, answer.fell_back) == ("middle of de", "middle", True)
        with pytest.raises(ConnectionError):
            await locate("nowhere")
        answered = await shop.geocoder.answer(locate.unguarded, "x", fallback=[middle, constant("nowhere")])
        assert (answered.value, answered.rung) == ("middle of de", "middle")
    assert await middle("a") == "middle of de"


async def test_a_plain_function_is_guarded_in_its_thread() -> None:
    shop = Shop.of(timeout=seconds(5))

    @shop.geocoder.guarded(idempotent=True)
    def locate(address: str) -> str:
        assert asyncio._get_running_loop() is None
        if address == "away":
            raise ConnectionError
        return address.upper()

    @locate.fallback
    def nowhere(address: str) -> str:
        return "nowhere"

    async with shop.running() as registry:
        BRIDGE.set(Bridge(asyncio.get_running_loop()))
        assert await asyncio.to_thread(locate, "a") == "A"
        assert (await asyncio.to_thread(locate.answer, "away")).rung == "nowhere"
        with pytest.raises(WrongThread, match=r"asyncio\.to_thread"):
            locate("a")
        assert registry.value("dependency_retries_total", {"dependency": "geocoder"}) == 2


async def test_the_breaker_can_be_taken_into_ones_own_hands() -> None:
    shop = Shop.of()

    @shop.geocoder.guarded
    async def locate() -> int:
        return 1

    async with shop.running() as registry:
        shop.geocoder.breaker.transition("forced_open")
        with pytest.raises(BreakerOpen):
            await locate()
        assert registry.value("breaker_state", {"breaker": "geocoder"}) == 3
        shop.geocoder.breaker.transition("closed")
        assert await locate() == 1
    without = Shop.of(breaker=None)
    async with without.running():
        with pytest.raises(DeclarationError, match="has no breaker"):
            _ = without.geocoder.breaker


async def test_a_batch_is_asked_key_by_key() -> None:
    shop, batches = Shop.of(), []

    @shop.service.batched(size=10, wait=seconds(0))
    @shop.geocoder.guarded
    async def places(addresses: list[str]) -> dict[str, str | Exception]:
        batches.append(addresses)
        return {address: address.upper() for address in addresses if address != "nowhere"}

    async with shop.running() as registry:
        outcomes = await asyncio.gather(places("a"), places.get("b"), places("nowhere"), return_exceptions=True)
        assert outcomes[:2] == ["A", "B"]
        assert isinstance(outcomes[2], KeyNotAnswered)
        assert await places.get_many(["c", "c"]) == ["C", "C"]
        assert batches == [["a", "b", "nowhere"], ["c"]]
        told = [
            registry.value(name, {"batch": "places"})
            for name in ("batches_total", "batch_keys_total", "batch_shared_total")
        ]
        assert told == [2, 4, 1]
        assert _calls(registry, "answered") == 2


async def test_outside_of_a_running_service_nothing_is_called() -> None:
    shop = Shop.of()

    @shop.geocoder.guarded
    async def locate() -> int:
        return 1

    @shop.service.batched()
    async def places(addresses: list[str]) -> dict[str, str]:
        return {}

    for call in (locate, lambda: shop.geocoder.call(locate), lambda: places("a")):
        with pytest.raises(NotRunning):
            await call()


def test_what_cannot_work_is_refused() -> None:
    shop = Shop.of()
    with pytest.raises(DeclarationError, match="already declared"):
        shop.service.dependency("geocoder")
    with pytest.raises(DeclarationError, match="is a generator"):

        @shop.geocoder.guarded
        async def pages() -> AsyncIterator[int]:
            yield 1

    with pytest.raises(DeclarationError, match="is no function"):

        @shop.geocoder.guarded(fallback=cast(Any, 7))
        async def locate() -> None: ...


async def test_what_was_last_known_is_of_a_function_and_not_of_a_call() -> None:
    shop = Shop.of()

    async def locate() -> int:
        return 1

    async with shop.running():
        with pytest.raises(DeclarationError, match="guarded"):
            await shop.geocoder.call(locate, fallback=last_known(seconds(1)))


def test_concurrency_may_be_a_number() -> None:
    assert Shop.of(concurrency=5).geocoder.spec.concurrency == Bulkhead(5)
