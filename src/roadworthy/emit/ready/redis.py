"""Alerts on the Redis that a service shares things through, from what the service itself sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.objectives.spec import AlertExample
from roadworthy.redis import metrics as seen
from roadworthy.service import ServiceSpec

_SERVER = "127.0.0.1:6379"


def redis_alerts(spec: ServiceSpec) -> Iterator[Alert]:
    """Yield the alerts on Redis, where the service may keep something there."""
    labels = {"service": spec.name}
    one = {**labels, "server": _SERVER}
    shown = {"{{ $labels.server }}": _SERVER}
    of = {"server": _SERVER}
    up = selected(seen.SERVER_UP.name, one)
    yield Alert(
        "RedisDown",
        f"max by (server) ({selected(seen.SERVER_UP.name, labels)}) == 0",
        minutes(2),
        "critical",
        "Redis does not answer",
        "The Redis at {{ $labels.server }} does not answer. Caches are each process's own meanwhile, and limits do "
        "what their on_error says.",
        "Does it run (`redis-cli ping`)? Was it killed for want of memory (`dmesg`)? Is it loading its data set, which "
        "a large one does for minutes? The service goes on without it and notices by itself when it is back: there "
        "is nothing to restart.",
        example=AlertExample({up: "0x60"}, {up: "1x60"}, timedelta(0), of, shown),
    )
    used, most = (selected(metric.name, one) for metric in (seen.MEMORY, seen.MEMORY_LIMIT))
    every, limits = (selected(metric.name, labels) for metric in (seen.MEMORY, seen.MEMORY_LIMIT))
    yield Alert(
        "RedisMemory",
        # Without a maxmemory, which is Redis's default, the limit is told as 0.
        f"max by (server) ({every}) / (max by (server) ({limits}) > 0) > 0.9",
        minutes(2),
        "warning",
        "Redis is almost full",
        "The Redis at {{ $labels.server }} uses {{ $value | humanizePercentage }} of its maxmemory; past it, it drops "
        "keys or refuses writes, as its maxmemory-policy says.",
        "Which keys are large (`redis-cli --bigkeys`)? Does something else use the same Redis? Shorten the ttl of the "
        "largest cache, or raise maxmemory. The policy should be allkeys-lru or volatile-ttl, so that writes are not "
        "refused.",
        example=AlertExample(
            {used: "95x60", most: "100x60"},
            {used: "95x60", most: "0x60"},
            timedelta(0),
            of,
            {**shown, "{{ $value | humanizePercentage }}": "95%"},
        ),
    )
    evicted = selected(seen.EVICTIONS.name, one)
    yield Alert(
        "RedisEvicting",
        f"max by (server) (increase({selected(seen.EVICTIONS.name, labels)}[15m])) > 0",
        minutes(5),
        "warning",
        "Redis drops keys for want of room",
        "The Redis at {{ $labels.server }} has dropped about {{ $value | humanize }} keys in a quarter of an hour to "
        "stay within maxmemory: entries of caches, and counts of limits, which then begin again.",
        "Compare redis_memory_used_bytes with yesterday's. Did a cache get more keys, or larger values, with a deploy "
        "(`roadworthy cache stats`)? Raise maxmemory, or keep less. Where limits must hold exactly, give them a Redis "
        "of their own.",
        example=AlertExample(
            {evicted: "0+10x60"},
            {evicted: "100x60"},
            INTERVAL,
            of,
            {**shown, "{{ $value | humanize }}": "110"},
        ),
    )
