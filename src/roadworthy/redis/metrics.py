"""What is exported of the Redis that a service shares things through, as one process sees it in the background."""

from __future__ import annotations

from roadworthy.telemetry.spec import Label, MetricSpec

# Open, so that no series is born in a process that does not look.
_SERVER = Label("server", limit=10)

SERVER_UP = MetricSpec(
    "redis_up", "gauge", "1 where Redis answered the last look in time, else 0.", (_SERVER,), across="max"
)
MEMORY = MetricSpec("redis_memory_used_bytes", "gauge", "Memory that Redis has allocated.", (_SERVER,), across="max")
MEMORY_LIMIT = MetricSpec(
    "redis_memory_limit_bytes", "gauge", "Redis's maxmemory; 0 where it has none.", (_SERVER,), across="max"
)
CLIENTS = MetricSpec("redis_clients", "gauge", "Clients connected to Redis.", (_SERVER,), across="max")
EVICTIONS = MetricSpec(
    "redis_evicted_keys_total", "counter", "Keys that Redis dropped to stay within maxmemory.", (_SERVER,)
)

CATALOGUE: tuple[MetricSpec, ...] = (SERVER_UP, MEMORY, MEMORY_LIMIT, CLIENTS, EVICTIONS)
