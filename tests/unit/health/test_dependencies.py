"""The check of a dependency: an open breaker warns, and fails only what is critical."""

from __future__ import annotations

from datetime import timedelta

import pytest

from roadworthy.health.dependencies import dependency_check
from roadworthy.health.policy import Status
from roadworthy.health.spec import LIVE, Check


def _check(state: str | None, *, critical: bool = False, away: bool | None = None) -> Check:
    async def found() -> str | None:
        return state

    async def ping() -> None:
        if away:
            raise ConnectionError("away")

    return dependency_check(
        "geocoder", found, None if away is None else ping, critical=critical, timeout=timedelta(seconds=60)
    )


@pytest.mark.parametrize(
    ("state", "critical", "status"),
    [
        ("closed", True, "pass"),
        ("disabled", True, "pass"),
        ("metrics_only", True, "pass"),
        ("half_open", True, "warn"),
        ("open", False, "warn"),
        ("open", True, "fail"),
        ("forced_open", False, "warn"),
        ("forced_open", True, "fail"),
    ],
)
async def test_what_a_breaker_means(state: str, critical: bool, status: Status) -> None:
    check = _check(state, critical=critical)
    (reading,) = await check.run()
    assert (reading.name, reading.status, reading.value) == ("geocoder:breaker", status, state)
    assert (reading.output is None) == (status == "pass")
    assert (check.every, check.critical, check.in_group("dependencies")) == (LIVE, critical, True)


async def test_a_ping_is_timed_and_may_raise() -> None:
    breaker, time = await _check("closed", away=False).run()
    assert (breaker.status, time.name, time.unit) == ("pass", "geocoder:responseTime", "ms")
    assert [one.name for one in await _check(None, away=False).run()] == ["geocoder:responseTime"]
    check = _check("closed", away=True)
    assert check.timeout == timedelta(seconds=5)
    with pytest.raises(ConnectionError):
        await check.run()
