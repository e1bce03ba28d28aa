"""cashews: a decorator over memory or Redis."""

from __future__ import annotations

from typing import Any

import cashews

from .subject import VALUE, AsyncCall, Subject


class Cashews(Subject):
    """Its plain `@cache(ttl)`; `lock=True` where stampedes are asked about."""

    async def open(self) -> None:
        self._memory = cashews.Cache()
        self._memory.setup("mem://", size=100_000)
        await self._memory.init()
        self._shared: cashews.Cache | None = None
        if self.url:
            self._shared = cashews.Cache()
            self._shared.setup(self.url)
            await self._shared.init()

    async def close(self) -> None:
        await self._memory.close()
        if self._shared is not None:
            await self._shared.close()

    def decorated(self, loader: AsyncCall) -> AsyncCall:
        async def cached(key: str) -> Any:
            return await loader(key)

        return self._memory(ttl="10m", key="item:{key}")(cached)

    async def fill(self, keys: list[str]) -> None:
        assert self._shared is not None
        for key in keys:
            await self._shared.set(key, VALUE, expire=600)

    async def get(self, key: str) -> Any:
        assert self._shared is not None
        return await self._shared.get(key)

    def protected(self, loader: AsyncCall) -> AsyncCall:
        async def cached(key: str) -> Any:
            return await loader(key)

        assert self._shared is not None
        return self._shared(ttl="10m", key="item:{key}", lock=True)(cached)

    def over_shared(self, loader: AsyncCall) -> AsyncCall:
        async def cached(key: str) -> Any:
            return await loader(key)

        assert self._shared is not None
        return self._shared(ttl="10m", key="item:{key}")(cached)
