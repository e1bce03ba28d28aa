"""The handle of a rate limit."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

from roadworthy.errors import NotRunning
from roadworthy.handles.host import Host
from roadworthy.limits.decision import Decision
from roadworthy.limits.limiter import Limiter
from roadworthy.limits.spec import LimitSpec

P = ParamSpec("P")
R = TypeVar("R")


class RateLimit:
    """The handle of a rate limit: decides about keys, which are texts."""

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
        raise NotImplementedError

    async def require(self, key: str, cost: int = 1) -> Decision:
        """Take `cost` units for a key; raise RateLimited where that is denied, which in a job postpones it."""
        raise NotImplementedError

    async def wait(self, key: str, cost: int = 1, *, timeout: timedelta) -> Decision:
        """Take `cost` units for a key as soon as they can be had; raise RateLimited after `timeout`."""
        raise NotImplementedError

    def limited(
        self, *, key: str, cost: int = 1
    ) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
        """Have an async function `require` units before each call; `key` is a template over its parameters."""
        raise NotImplementedError
