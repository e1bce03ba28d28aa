"""What a service declares of databases, caches, locks, secrets, and resources of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from roadworthy.activity.spec import ActivitySpec
from roadworthy.cache.spec import CacheSpec, Tier
from roadworthy.database.spec import DatabaseSpec
from roadworthy.declaration import declaring_directory, declaring_place
from roadworthy.declaring.base import Declaring
from roadworthy.duration import days, seconds
from roadworthy.errors import DeclarationError
from roadworthy.handles.activity import Activity
from roadworthy.handles.cache import Cache
from roadworthy.handles.database import Database
from roadworthy.handles.lock import Lock
from roadworthy.handles.resource import Resource
from roadworthy.handles.secret import Secret
from roadworthy.security.secrets import SecretSpec

T = TypeVar("T")


class Data(Declaring):
    """Declares databases, caches, locks, secrets, and resources of its own."""

    def database(
        self, name: str = "main", *, migrations: str | Path | None = None, pool: tuple[int, int] = (1, 10)
    ) -> Database:
        """Declare a PostgreSQL database.

        `migrations` is the directory of its `.sql` files, relative to the declaring module. `pool` is the smallest and
        largest number of connections of each process. The database also keeps the jobs, declared or not.
        """
        directory = None if migrations is None else declaring_directory() / migrations
        spec = DatabaseSpec(name, directory, pool)
        if existing := self.declared.of("database"):
            raise DeclarationError(
                f"{declaring_place()}: database {name!r} is the second one, after {existing[0].name!r}; a service has "
                "one, whose transactions also carry its jobs. Use a schema of its own for what should stand apart"
            )
        self.declared.add("database", spec)
        return Database(self, spec)

    def cache(
        self,
        name: str,
        *,
        ttl: timedelta,
        stale: timedelta = timedelta(0),
        negative_ttl: timedelta | None = None,
        jitter: float = 0.1,
        early: float = 1.0,
        retry_after: timedelta = seconds(5),
        soft_timeout: timedelta | None = None,
        timeout: timedelta | None = None,
        lock: bool = True,
        tiers: Sequence[Tier] = ("memory", "shared"),
        entries: int = 10_000,
        bytes: int = 64 * 1024 * 1024,
        store_timeout: timedelta = seconds(0.25),
        compress_over: int | None = None,
    ) -> Cache:
        """Declare a cache, in the memory of each process and in a store that they share.

        A value is fresh for `ttl`, less up to the share `jitter`. For `stale` after that it is still served, while one
        caller refreshes it, and where its source fails, which is not asked again for `retry_after`. `negative_ttl` is
        the `ttl` of None. `early` has what was costly refreshed the sooner before its time, 0 for never.

        `soft_timeout` is how long a caller waits for the source where a stale value is at hand, by default not at all;
        `timeout` where none is, by default for ever. What comes later is kept. With `lock`, one process at a time asks
        the source for a key.

        The store is the Redis of `REDIS_URL`, else the service's database; `tiers` names "memory", "shared" or both.
        `entries` and `bytes` bound what a process keeps in memory, `store_timeout` bounds each exchange with the store,
        and values of more than `compress_over` encoded bytes are compressed there.
        """
        spec = CacheSpec(
            name,
            ttl,
            stale,
            negative_ttl,
            jitter,
            early,
            retry_after,
            soft_timeout,
            timeout,
            lock,
            tuple(tiers),
            entries,
            bytes,
            store_timeout,
            compress_over,
        )
        self.declared.add("cache", spec)
        return Cache(self, spec)

    def activity(self, name: str, *, keep: timedelta = days(400), floor: int = 20, most: int = 100_000) -> Activity:
        """Declare somebody, such as "users", of whom it is counted on which days (UTC) they were active.

        Its handle's `seen(id)` notes one of them. Days are kept for `keep`. Alerts on fewer than usual say nothing of
        fewer than `floor` a day. A process remembers at most `most` that wait for a database which is away.

        Raises DeclarationError where the service has no database yet.
        """
        if not self.declared.of("database"):
            raise DeclarationError(
                f"{declaring_place()}: activity {name!r} is kept in the service's database, and none is declared; "
                "declare it before, with service.database()"
            )
        spec = ActivitySpec(name, keep, floor, most)
        self.declared.add("activity", spec)
        return Activity(self, spec)

    def lock(self, name: str, *, lease: timedelta = seconds(30), wait: timedelta = seconds(10)) -> Lock:
        """Make a lock that one process at a time holds: an `async with`, which renews it meanwhile.

        It is kept in the store of the service's caches, of which there has to be one.

        A holder that dies gives it back after `lease`; others wait for it for `wait`, then LockNotAcquired is raised.
        It saves work that would be done twice, and is no proof against it: a process that stops for longer than
        `lease` does not know that another one has the lock. What must not happen twice, the database has to refuse.
        """
        return Lock(self, name, lease, wait)

    def secret(
        self,
        name: str,
        *,
        min_bytes: int = 32,
        required: bool = True,
        several: bool = False,
        overlap: timedelta = timedelta(0),
        purpose: str = "",
    ) -> Secret:
        """Declare a secret, in the environment's variable `name` or in the file that `name`_FILE has the path of.

        The service refuses to start where it has fewer than `min_bytes`, could be guessed, or is `required` and not
        set. With `several`, a comma separates secrets that all count, the current one first. A file that changes is
        followed without a restart, and what it held before counts for `overlap`.
        """
        spec = SecretSpec(name, min_bytes, required, several, overlap, purpose)
        self.declared.add("secret", spec)
        secret = Secret(spec)
        self._secrets.append(secret)
        return secret

    def resource(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> Resource[T]:
        """Declare something of the service's own that each process opens when it starts and closes when it stops.

        `open` makes its async context manager, as for a pool of HTTP connections; the handle's `value` is what that
        yields.
        """
        self.declared.check_open(f"resource {open.__name__!r}")
        resource = Resource(self, open)
        self._resources.append(resource)
        return resource
