"""Looks at the Redis that a service uses, on a connection made for each look, and exports what it sees.

Source: https://redis.io/docs/latest/commands/info/
"""

from __future__ import annotations

from collections.abc import Mapping

from roadworthy.redis import metrics as catalogue
from roadworthy.redis.address import Address
from roadworthy.redis.errors import RedisError
from roadworthy.redis.link import Link, connect
from roadworthy.redis.protocol import pack
from roadworthy.telemetry.logging import get_logger
from roadworthy.telemetry.registry import MetricRegistry

_log = get_logger(__name__)

PATIENCE = 5.0
"""Seconds that connecting may take, and as many for an answer."""

_LEVELS = (
    (catalogue.MEMORY, "used_memory"),
    (catalogue.MEMORY_LIMIT, "maxmemory"),
    (catalogue.CLIENTS, "connected_clients"),
)


class RedisObserver:
    """One service's view of its Redis."""

    def __init__(self, address: Address, metrics: MetricRegistry, *, name: str, patience: float = PATIENCE) -> None:
        """Export under the label `server`; `name` is what Redis calls the connection in CLIENT LIST."""
        self._address = address
        self._server = address.path or f"{address.host}:{address.port}"
        self._security = address.security()
        self._metrics = metrics
        self._name = name
        self._patience = patience
        self._trouble: str | None = None
        self._evicted: int | None = None
        metrics.bound(catalogue.EVICTIONS).labels(self._server)

    async def look(self) -> None:
        """Look once. What cannot be seen is no longer exported, and `redis_up` is 0; nothing is raised."""
        try:
            found = fields(await self._information())
        except RedisError as error:
            self._blind(str(error))
            return
        for metric, field in _LEVELS:
            self._metrics.bound(metric).labels(self._server).set(found.get(field, 0))
        self._count_evictions(found.get("evicted_keys", 0))
        self._metrics.bound(catalogue.SERVER_UP).labels(self._server).set(1)
        if self._trouble is not None:
            _log.info("Redis answers again", server=self._server)
            self._trouble = None

    async def _information(self) -> bytes:
        link = await connect(
            self._address,
            lambda: Link(self._patience, lambda _: None),
            name=self._name,
            patience=self._patience,
            security=self._security,
        )
        try:
            answer: bytes = await link.send(pack("INFO"))
            return answer
        finally:
            link.drop("the question is answered")

    def _count_evictions(self, total: int) -> None:
        before, self._evicted = self._evicted, total
        if before is not None:
            # A Redis that was started again counts from zero.
            fresh = total - before if total >= before else total
            self._metrics.bound(catalogue.EVICTIONS).labels(self._server).inc(fresh)

    def _blind(self, why: str) -> None:
        self._metrics.bound(catalogue.SERVER_UP).labels(self._server).set(0)
        for metric, _ in _LEVELS:
            self._metrics.bound(metric).forget()
        if self._trouble is None:
            _log.warning("Redis cannot be observed; it is tried again", server=self._server, reason=why)
        self._trouble = why


def fields(information: bytes) -> Mapping[str, int]:
    """Return the whole numbers of an answer to INFO, by the names of their fields."""
    lines = information.decode(errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name: int(value) for name, _, value in pairs if value.isascii() and value.isdecimal()}
