"""The check of a dependency: how its breakers stand, and whether it answers when it is asked."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from roadworthy.health.policy import Reading, Status
from roadworthy.health.spec import LIVE, Check

GROUP = "dependencies"

_LONGEST = timedelta(seconds=5)
_OPEN = ("open", "forced_open")


def dependency_check(
    name: str,
    states: Callable[[], Awaitable[Mapping[str, int]]],
    ping: Callable[[], Awaitable[object]] | None,
    *,
    critical: bool,
    timeout: timedelta,
    clock: Callable[[], float] = time.perf_counter,
) -> Check:
    """Return the check of the dependency `name`, of the group "dependencies".

    `states` counts its breakers by their state, which is told at once; `ping` is awaited every five seconds, for at
    most `timeout`, and raises what is wrong. Both are warnings, and failures where it is `critical`.
    """
    bad: Status = "fail" if critical else "warn"

    async def run() -> Sequence[Reading]:
        readings = _of_breakers(name, await states(), bad)
        if ping is not None:
            began = clock()
            await ping()
            readings.append(Reading(f"{name}:responseTime", "pass", round((clock() - began) * 1000, 3), "ms"))
        return readings

    if ping is None:
        return Check(f"dependency {name}", run, critical, every=LIVE, failures=1, successes=1, groups=(GROUP,))
    return Check(f"dependency {name}", run, critical, timeout=min(timeout, _LONGEST), groups=(GROUP,))


def _of_breakers(name: str, states: Mapping[str, int], bad: Status) -> list[Reading]:
    """Return how the breakers stand: as badly as the worst of them."""
    there = {state: count for state, count in states.items() if count}
    if not there:
        return []
    is_open = sum(there.get(state, 0) for state in _OPEN)
    status: Status = bad if is_open else "warn" if there.get("half_open") else "pass"
    worst = next((state for state in (*_OPEN, "half_open") if state in there), next(iter(there)))
    output = None
    if status != "pass":
        every = sum(there.values())
        many = f"in {there[worst]} of {every} processes" if every > 1 else "here"
        output = f"the breaker is {worst.replace('_', ' ')} {many}: calls fail at once, or are answered by fallbacks"
        if worst == "half_open":
            output = f"the breaker is half open {many}: a few calls find out whether it may close"
    return [Reading(f"{name}:breaker", status, worst, output=output)]
