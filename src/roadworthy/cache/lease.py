"""Locks in a store: taken for a while, renewed while held, given back. For a moment, two may hold the same one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from roadworthy.cache.node import Node
from roadworthy.cache.store import Store, StoreDown

_RENEWALS = 3
_FIRST_LOOK = 0.02
_LONGEST_LOOK = 0.25


@dataclass(slots=True, eq=False)
class Lease:
    """A lock that is held. `lost` says that another one has it by now; `token` rises from holder to holder."""

    token: int
    lost: bool = False


@asynccontextmanager
async def renewed(store: Store, name: str, token: str, seconds: float, lease: Lease) -> AsyncIterator[None]:
    """Renew a lock that was taken for `seconds` within an `async with`, and give it back at its end."""
    renewing = asyncio.create_task(_renew(store, name, token, seconds, lease))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        with contextlib.suppress(StoreDown):
            await store.release(name, token)


@asynccontextmanager
async def acquired(node: Node, name: str, token: str, seconds: float, wait: float) -> AsyncIterator[Lease | None]:
    """Hold the lock of a name within an `async with`, in this process and, where a store answers, among all.

    It is None where the lock does not come free within `wait` seconds. A dead holder's comes free after `seconds`.
    """
    deadline = node.clock.monotonic() + wait
    async with _alone(node, name, wait) as alone:
        if not alone:
            yield None
            return
        held = await _taken(node, name, token, seconds, deadline)
        lease = Lease(node.clock.asserted())
        if held is None or node.store is None:
            yield lease
        elif not held:
            yield None
        else:
            async with renewed(node.store, name, token, seconds, lease):
                yield lease


@asynccontextmanager
async def _alone(node: Node, name: str, wait: float) -> AsyncIterator[bool]:
    lock = node.locks.get(name)
    if lock is None:
        lock = node.locks[name] = asyncio.Lock()
    try:
        async with asyncio.timeout(wait or None):
            if wait == 0 and lock.locked():
                raise TimeoutError
            await lock.acquire()
    except TimeoutError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


async def _taken(node: Node, name: str, token: str, seconds: float, deadline: float) -> bool | None:
    """Take a lock from the store; False where it did not come free in time, None where no store answers."""
    if node.store is None:
        return None
    delay = _FIRST_LOOK
    try:
        while not await node.store.acquire(name, token, seconds):
            left = deadline - node.clock.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(delay, left))
            delay = min(delay * 1.5, _LONGEST_LOOK)
    except StoreDown:
        node.failed()
        return None
    return True


async def _renew(store: Store, name: str, token: str, seconds: float, lease: Lease) -> None:
    while True:
        await asyncio.sleep(seconds / _RENEWALS)
        with contextlib.suppress(StoreDown):
            if not await store.acquire(name, token, seconds):
                lease.lost = True
                return
