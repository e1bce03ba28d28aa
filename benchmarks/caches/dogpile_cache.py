"""dogpile.cache: synchronous; regions over memory or Redis."""

from __future__ import annotations

import json
from typing import Any

from dogpile.cache import make_region

from .subject import VALUE, Subject, SyncCall


class Dogpile(Subject):
    """`@region.cache_on_arguments` in memory, `region.get` of JSON over Redis in threads."""

    async def open(self) -> None:
        self._memory = make_region().configure("dogpile.cache.memory", expiration_time=600)
        if self.url:
            self._shared = make_region(
                serializer=lambda value: json.dumps(value).encode(), deserializer=json.loads
            ).configure("dogpile.cache.redis", expiration_time=600, arguments={"url": self.url})

    async def close(self) -> None:
        if self.url:
            self._shared.actual_backend.reader_client.close()

    def decorated_sync(self, loader: SyncCall) -> SyncCall:
        def cached(key: str) -> Any:
            return loader(key)

        return self._memory.cache_on_arguments()(cached)

    async def fill(self, keys: list[str]) -> None:
        for key in keys:
            self._shared.set(key, VALUE)

    def get_in_thread(self, key: str) -> Any:
        return self._shared.get(key)
