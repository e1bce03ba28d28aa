"""What the supervisor tells of all processes on the operations port."""

from __future__ import annotations

from roadworthy.cache.metrics import LOOKUPS
from roadworthy.health.policy import Reading
from roadworthy.health.spec import Check
from roadworthy.runtime.operations import of_all
from roadworthy.telemetry.exposition import Family, Sample, Snapshot


async def test_the_share_of_hits_is_that_of_all_processes() -> None:
    async def own() -> list[Reading]:
        return [
            Reading("prices:hitRatio", "pass", 1.0),
            Reading("people:hitRatio", "pass", 1.0),
            Reading("caches:store"),
        ]

    async def snapshot() -> Snapshot:
        samples = tuple(
            Sample(LOOKUPS.name, (("cache", "prices"), ("tier", "memory"), ("outcome", outcome)), value)
            for outcome, value in (("hit", 2.0), ("miss", 1.0))
        )
        return Snapshot((Family(LOOKUPS.name, "counter", "", "sum", samples),))

    readings = await of_all(Check("caches", own), snapshot).run()
    assert [(reading.name, reading.value) for reading in readings] == [
        ("prices:hitRatio", 0.6667),
        ("people:hitRatio", 1.0),
        ("caches:store", None),
    ]
