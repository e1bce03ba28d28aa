"""Processes of one service with a cache, all within this one, as many as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from roadworthy import Cache, Service, minutes
from roadworthy.binding import Binding
from roadworthy.cache.caches import Caches, Transactions
from roadworthy.cache.node import Node
from roadworthy.cache.spec import Tier
from roadworthy.telemetry.registry import MetricRegistry

from .stores import Backend

Opening = Callable[..., Any]


@dataclass(slots=True)
class Loading:
    """A source that a test holds back, counts, and has fail."""

    value: Any = "value"
    calls: int = 0
    began: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    async def __call__(self) -> Any:
        self.calls += 1
        self.began.set()
        value, error = self.value, self.error
        await asyncio.wait_for(self.go.wait(), 60)
        if error is not None:
            raise error
        return value


@dataclass(slots=True)
class Quick:
    """A source that answers at once, and counts."""

    value: Any = "value"
    calls: int = 0

    async def __call__(self) -> Any:
        self.calls += 1
        return self.value


@dataclass(frozen=True, slots=True)
class Stage:
    """Which tiers there are, and the server behind the shared one."""

    tiers: tuple[Tier, ...]
    backend: Backend | None

    @asynccontextmanager
    async def shop(self, node: int = 1, **options: Any) -> AsyncIterator[Cache]:
        """Yield the cache of one process."""
        async with shop(self.backend, node, **({"tiers": self.tiers} | options)) as cache:
            yield cache


@asynccontextmanager
async def shop(
    backend: Backend | None, node: int = 1, *, transactions: Transactions | None = None, **options: Any
) -> AsyncIterator[Cache]:
    """Yield the cache of one process whose options are `options`; it is bound to nothing else."""
    service = Service("shop")
    cache = service.cache("pages", **({"ttl": minutes(5), "jitter": 0.0, "early": 0.0} | options))
    nothing = cast(Any, None)
    opening = contextlib.nullcontext() if backend is None else backend.open(node)
    async with (
        opening as store,
        Caches.open("shop", service.spec.caches, Node(store, node=node), transactions) as caches,
        service.bind(Binding(nothing, nothing, MetricRegistry([]), caches=caches)),
    ):
        yield cache


async def until(condition: Callable[[], Any | Awaitable[Any]], seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if asyncio.iscoroutine(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.005)


def held(cache: Cache) -> Mapping[str, Any]:
    """Return what a process keeps in memory."""
    local = cache.open.tiers.local
    return {} if local is None else local.memory.held
