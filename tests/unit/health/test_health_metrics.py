from __future__ import annotations

from collections.abc import Sequence

from roadworthy import seconds
from roadworthy.health import metrics
from roadworthy.health.policy import HealthState, Reading
from roadworthy.health.report import Health
from roadworthy.health.spec import Check
from roadworthy.health.watch import IDLE
from roadworthy.telemetry.registry import MetricRegistry

from .conftest import BEGIN, FakeTime, Looked


async def test_what_is_known_of_each_check_is_counted(time: FakeTime, looked: Looked) -> None:
    async def nothing() -> Sequence[Reading]:
        return []

    checks = (Check("x", looked, every=seconds(5)), Check("nothing", nothing))
    health = Health(HealthState, checks, clock=time.clock, now=time.now, sleep=time.sleep, draw=lambda: 0.5)
    registry = MetricRegistry(metrics.CATALOGUE)

    def status(check: str = "x") -> float | None:
        return registry.value("health_check_status", {"check": check})

    def changes(to: str) -> float | None:
        return registry.value("health_check_transitions_total", {"check": "x", "status": to})

    async with health.running(registry):
        assert (status(), changes("fail")) == (-1, 0)
        await time.go(5)
        assert (status(), status("nothing")) == (0, -1)
        assert registry.value("health_check_timestamp_seconds", {"check": "x"}) == BEGIN.timestamp() + 5
        assert registry.value("health_check_duration_seconds_count", {"check": "x"}) == looked.looks == 2
        looked.error = OSError("gone")
        await time.go(20)
        assert (status(), changes("fail"), changes("pass")) == (2, 1, 0)
        looked.error = None
        await time.go(20)
        assert (status(), changes("fail"), changes("pass")) == (0, 1, 1)
        await time.go(2 * IDLE)
        assert status() == -1, "nobody asks, and so nothing is known"
        await time.jump(7)
        await time.go(2)
        lag = registry.value("event_loop_lag_seconds")
        assert lag is not None
        assert 6 <= lag <= 7
