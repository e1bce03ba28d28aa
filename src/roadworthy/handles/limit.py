"""The handle of a rate limit."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from roadworthy.cache.keys import Call, KeyTemplate
from roadworthy.declaration import declaring_place
from roadworthy.errors import DeclarationError, NotRunning, RateLimited
from roadworthy.handles.host import Host
from roadworthy.limits.decision import Decision
from roadworthy.limits.limiter import Limiter
from roadworthy.limits.spec import LimitSpec

P = ParamSpec("P")
R = TypeVar("R")

_SHORTEST_SLEEP = 0.001


class RateLimit:
    """The handle of a rate limit, which decides about keys: texts, such as a user's id.

    A RateLimited that escapes a job postpones the job until it will be admitted; the attempt does not count.
    """

    def __init__(self, service: Host, spec: LimitSpec) -> None:
        """Declared with `Service.limit`."""
        self.spec = spec
        self._service = service
        self._what = f"limit {spec.name!r}"
        self._limiter: Limiter | None = None

    @property
    def open(self) -> Limiter:
        """The limit as it runs; raises NotRunning."""
        limiter = self._limiter
        if limiter is None or limiter.closed:
            limits = self._service.binding(self._what).limits
            if limits is None:
                raise NotRunning(self._what)
            limiter = self._limiter = limits.of(self.spec.name)
        return limiter

    async def check(self, key: str, cost: int = 1) -> Decision:
        """Take `cost` units for a key, or say when they could be had; a denial is no error."""
        if cost < 1:
            raise ValueError(f"{self._what} was asked for cost={cost}; it must be at least 1")
        # One that is closed knows nothing, so that this need not look whether it is.
        decision = (self._limiter or self.open).quick(key, cost)
        return decision if decision is not None else await self.open.check(key, cost)

    async def require(self, key: str, cost: int = 1) -> Decision:
        """Take `cost` units for a key; raise RateLimited where that is denied."""
        decision = await self.check(key, cost)
        if not decision.admitted:
            raise RateLimited(decision)
        return decision

    async def wait(self, key: str, cost: int = 1, *, timeout: timedelta) -> Decision:
        """Take `cost` units for a key as soon as they can be had; raise RateLimited where that is not within `timeout`.

        Those who wait are not served in the order in which they came.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + timeout.total_seconds()
        while True:
            decision = await self.check(key, cost)
            if decision.admitted:
                return decision
            if clock() + decision.retry_after > until:
                raise RateLimited(decision)
            await asyncio.sleep(max(decision.retry_after, _SHORTEST_SLEEP))

    def limited(
        self, *, key: str, cost: int = 1
    ) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
        """Have an async function `require` units before each call, and raise RateLimited instead of running.

        `key` is a template over its parameters, as in "{user}" or "{user}:{site}". A text in a "{user}" is the key
        itself, as `check` takes it; otherwise values are written as in the keys of a cache.

        Raises:
            DeclarationError: the template cannot work, the function is not async, or the limit never admits the cost.
        """
        if not 1 <= cost <= self.spec.capacity:
            raise DeclarationError(
                f"{declaring_place()}: {self._what} has a function with cost={cost}; it must be from 1 to what the "
                f"limit admits at once, {self.spec.capacity}"
            )

        def declare(function: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
            call = Call(function, "limited function")
            if not inspect.iscoroutinefunction(function):
                raise DeclarationError(f"{call.described} is not async; make it async, or call require() itself")
            keys = KeyTemplate(key, call, prefix="")
            alone = keys.fields[0] if keys.fields and key == f"{{{keys.fields[0]}}}" else None

            @wraps(function)
            async def limited(*args: P.args, **kwargs: P.kwargs) -> R:
                arguments = call.bound(args, kwargs)
                given = None if alone is None else arguments[alone]
                await self.require(given if isinstance(given, str) else keys.of(arguments), cost)
                return await function(*args, **kwargs)

            return limited

        return declare
