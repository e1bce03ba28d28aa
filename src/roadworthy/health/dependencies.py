"""The check of a dependency: how its breaker stands, and whether it answers when it is asked."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from roadworthy.health.policy import Reading, Status
from roadworthy.health.spec import LIVE, Check

GROUP = "dependencies"

_LONGEST = timedelta(seconds=5)
_TELLS = {
    "half_open": "the breaker is half open: a few calls find out whether it may close",
    "open": "the breaker is open: calls fail at once, or are answered by fallbacks",
    "forced_open": "the breaker was forced open: calls fail at once, or are answered by fallbacks, until it is closed",
}


def dependency_check(
    name: str,
    state: Callable[[], Awaitable[str | None]],
    ping: Callable[[], Awaitable[object]] | None,
    *,
    critical: bool,
    timeout: timedelta,
    clock: Callable[[], float] = time.perf_counter,
) -> Check:
    """Return the check of the dependency `name`, of the group "dependencies".

    `state` returns that of its breaker, None without one; `ping` is awaited every five seconds, for at most `timeout`,
    and raises what is wrong. Both are warnings, and failures where it is `critical`; half open is a warning.
    """
    bad: Status = "fail" if critical else "warn"

    async def run() -> Sequence[Reading]:
        readings: list[Reading] = []
        if (found := await state()) is not None:
            status: Status = "pass" if found not in _TELLS else "warn" if found == "half_open" else bad
            readings.append(Reading(f"{name}:breaker", status, found, output=_TELLS.get(found)))
        if ping is not None:
            began = clock()
            await ping()
            readings.append(Reading(f"{name}:responseTime", "pass", round((clock() - began) * 1000, 3), "ms"))
        return readings

    if ping is None:
        return Check(f"dependency {name}", run, critical, every=LIVE, failures=1, successes=1, groups=(GROUP,))
    return Check(f"dependency {name}", run, critical, timeout=min(timeout, _LONGEST), groups=(GROUP,))
