from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.health.policy import HealthState, Reading, Result, Status, document, http_status, overall, readiness

AT = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


def result(*statuses: Status, name: str = "a", critical: bool = True) -> Result:
    readings = tuple(Reading(f"{name}:{index}", status) for index, status in enumerate(statuses))
    return Result(name, readings, AT, 0.01, critical, readiness=False)


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([], "pass"),
        ([result("pass", "pass")], "pass"),
        ([result("pass", "warn")], "warn"),
        ([result("warn", "fail")], "fail"),
        ([result("fail", critical=False)], "warn"),
        ([result("fail", critical=False), result("fail")], "fail"),
    ],
)
def test_only_a_critical_check_fails_the_whole(results: list[Result], status: Status) -> None:
    assert overall(results) == status


statuses = st.sampled_from(["pass", "warn", "fail"])


@given(st.lists(st.builds(lambda status, critical: result(status, critical=critical), statuses, st.booleans())))
def test_the_order_of_checks_does_not_matter(results: list[Result]) -> None:
    assert overall(results) == overall(results[::-1])


@pytest.mark.parametrize(
    ("state", "results", "status"),
    [
        (HealthState(), [], "pass"),
        (HealthState(started=False), [], "fail"),
        (HealthState(draining=True), [], "fail"),
        (HealthState(saturated=True), [], "pass"),
        (HealthState(), [result("warn")], "pass"),
        (HealthState(), [result("fail")], "fail"),
    ],
)
def test_readiness(state: HealthState, results: list[Result], status: Status) -> None:
    assert readiness(state, results) == status


def test_a_warning_still_serves() -> None:
    assert [http_status(status) for status in ("pass", "warn", "fail")] == [200, 200, 503]


def test_the_report_is_health_json() -> None:
    readings = (Reading("db:responseTime", "pass", 1.5, "ms"), Reading("db:pool", "warn", output="full"))
    report = document("warn", [Result("db", readings, AT, 0.0015, True, False, age=2.5)], service="s", version="1.0")
    assert report == {
        "status": "warn",
        "serviceId": "s",
        "releaseId": "1.0",
        "checks": {
            "db:responseTime": [
                {
                    "componentId": "db",
                    "status": "pass",
                    "time": "2026-01-02T03:04:05.678Z",
                    "latency": 0.0015,
                    "age": 2.5,
                    "observedValue": 1.5,
                    "observedUnit": "ms",
                }
            ],
            "db:pool": [
                {
                    "componentId": "db",
                    "status": "warn",
                    "time": "2026-01-02T03:04:05.678Z",
                    "latency": 0.0015,
                    "age": 2.5,
                    "output": "full",
                }
            ],
        },
    }
    assert document("pass") == {"status": "pass"}
    assert document("pass", notes=("draining",)) == {"status": "pass", "notes": ["draining"]}
