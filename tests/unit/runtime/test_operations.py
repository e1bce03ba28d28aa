"""What the supervisor tells of all processes on the operations port."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from roadworthy.binding import Binding
from roadworthy.cache.metrics import LOOKUPS
from roadworthy.health import metrics
from roadworthy.health.policy import HealthState, Reading
from roadworthy.health.report import Health
from roadworthy.health.spec import Check
from roadworthy.http.stack import install
from roadworthy.resilience import breaker_metrics
from roadworthy.runtime.operations import breaker_of_all, of_all, single
from roadworthy.service import Service
from roadworthy.telemetry.exposition import Family, Series, Snapshot
from roadworthy.telemetry.registry import MetricRegistry


async def test_the_share_of_hits_is_that_of_all_processes() -> None:
    async def own() -> list[Reading]:
        return [
            Reading("prices:hitRatio", "pass", 1.0),
            Reading("people:hitRatio", "pass", 1.0),
            Reading("caches:store"),
        ]

    async def snapshot() -> Snapshot:
        series = tuple(
            Series(("prices", "memory", outcome), (value,)) for outcome, value in (("hit", 2.0), ("miss", 1.0))
        )
        return Snapshot((Family(LOOKUPS.name, "counter", "", "sum", LOOKUPS.label_names, (), series),))

    readings = await of_all(Check("caches", own), snapshot).run()
    assert [(reading.name, reading.value) for reading in readings] == [
        ("prices:hitRatio", 0.6667),
        ("people:hitRatio", 1.0),
        ("caches:store", None),
    ]


async def test_both_ports_of_a_process_tell_of_one_health() -> None:
    service = Service("shop")
    looks = 0

    @service.check("stock")
    async def stock() -> list[Reading]:
        nonlocal looks
        looks += 1
        return []

    async def unused(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    stack = install(unused, service)
    nothing: Any = None
    binding = Binding(nothing, nothing, MetricRegistry(metrics.CATALOGUE))
    state = HealthState()
    private = single(service.spec, binding, lambda: state, "web", lambda: "ready", app=stack)

    async def status(app: Any, path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tested") as client:
            return (await client.get(path)).status_code

    async with service.bind(binding):
        for _ in range(3):
            assert [await status(app, "/health") for app in (stack, private)] == [200, 200]
            assert [await status(app, "/readyz") for app in (stack, private)] == [200, 200]
        assert looks == 1
        state = HealthState(started=False)
        assert [await status(app, "/readyz") for app in (stack, private)] == [503, 503]
        state = HealthState()
        stack.drain.start()
        assert [await status(app, "/readyz") for app in (stack, private)] == [503, 503]
    assert [await status(app, "/livez") for app in (stack, private)] == [200, 200]


async def test_the_breakers_of_other_processes_are_known_before_a_probe_asks() -> None:
    service = Service("shop")
    service.dependency("bank")

    async def snapshot() -> Snapshot:
        # Longer than a probe waits.
        await asyncio.sleep(0.1)
        state = Series(("bank",), (0.0,))
        return Snapshot((Family(breaker_metrics.STATE.name, "gauge", "", "max", ("breaker",), (), (state,)),))

    health = Health(HealthState, [breaker_of_all(service.spec.dependencies[0], snapshot)])
    async with health.running(), asyncio.timeout(60):
        while (await health.report())["status"] != "pass":
            await asyncio.sleep(0.01)
        reports = [await health.report() for _ in range(3)]
    assert [report["status"] for report in reports] == ["pass"] * 3
    assert reports[0]["checks"]["bank:breaker"][0]["observedValue"] == "closed"
