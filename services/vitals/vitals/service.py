"""What Vitals needs and what it promises."""

from __future__ import annotations

from roadworthy import Service, minutes, seconds

service = Service("vitals", version="1.0.0", owner="health", app="vitals.app:app")

# What it needs.
database = service.database(migrations="migrations")
ingestion = service.queue(
    "ingestion", attempts=5, lease=seconds(15), workers=(1, 4), concurrency=4, target_latency=seconds(5)
)
confidence = service.queue("confidence", attempts=5, lease=seconds(30), workers=(1, 4), target_latency=seconds(30))
upkeep = service.queue("upkeep", attempts=3, lease=minutes(1), workers=(1, 1), target_latency=minutes(5))

# What it measures.

# What it promises.
service.slo("availability", objective=0.999)
