"""The handle of a distributed lock."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import Any

from roadworthy.cache.lease import Lease, acquired
from roadworthy.errors import DeclarationError, LockNotAcquired, NotRunning
from roadworthy.handles.host import Host


class Lock:
    """A lock that one process at a time holds, for efficiency: it saves work that would be done twice.

        async with service.lock("rebuild the index", lease=minutes(1)) as lease:
            ...
            if lease.lost: ...

    It is renewed while held. A holder that stops for longer than `lease` may find that another one has it: `lost` says
    so once that is known. Its `token` rises from holder to holder as far as clocks are right, so that what keeps the
    largest that it has seen can refuse an older one.

    Processes share it through the store of the service's caches, so the service has to declare one. Where there is no
    such store, or while it is away, it holds within this process alone.
    """

    def __init__(self, service: Host, name: str, lease: timedelta, wait: timedelta) -> None:
        """Made with `Service.lock`."""
        if not name:
            raise DeclarationError("a lock has no name; say what it protects")
        if lease < timedelta(milliseconds=100):
            raise DeclarationError(f"lock {name!r} has lease={lease}; it must be 0.1 s at least, to be renewed in time")
        if wait < timedelta(0):
            raise DeclarationError(f"lock {name!r} has wait={wait}; it must be 0 or more")
        self.name = name
        self._service = service
        self._lease = lease.total_seconds()
        self._wait = wait.total_seconds()
        self._held: dict[asyncio.Task[Any] | None, AsyncExitStack] = {}

    async def __aenter__(self) -> Lease:
        task = asyncio.current_task()
        if task in self._held:
            raise RuntimeError(f"lock {self.name!r} was entered by the task that holds it, which would wait for itself")
        if not any("shared" in cache.tiers for cache in self._service.declared.of("cache")):
            raise DeclarationError(
                f"lock {self.name!r} would hold within one process alone, for the service shares no store; declare a "
                "cache with the tier 'shared', in whose store locks are kept"
            )
        caches = self._service.binding(f"lock {self.name!r}").caches
        if caches is None:
            raise NotRunning(f"lock {self.name!r}")
        async with AsyncExitStack() as held:
            lease = await held.enter_async_context(
                acquired(caches.node, f"{caches.service}::{self.name}", secrets.token_hex(8), self._lease, self._wait)
            )
            if lease is None:
                raise LockNotAcquired(
                    f"lock {self.name!r} did not come free in wait={self._wait:g} s; wait for longer, or do without"
                )
            self._held[task] = held.pop_all()
            return lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        held = self._held.pop(asyncio.current_task())
        await held.__aexit__(kind, error, traceback)
