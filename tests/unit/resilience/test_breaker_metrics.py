"""What breakers count arrives at the metrics, once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import get_args

import pytest

from roadworthy.errors import BreakerOpen
from roadworthy.resilience import breaker_metrics
from roadworthy.resilience.breaker import Breaker, BreakerSpec, State
from roadworthy.telemetry.registry import MetricRegistry

OUTCOMES = ("succeeded", "failed", "ignored", "rejected")


def test_calls_states_and_transitions_are_told() -> None:
    spec = BreakerSpec(size=4, minimum_calls=4, slow_after=timedelta(seconds=1))
    breaker, other = Breaker("billing", spec), Breaker("search")
    registry = MetricRegistry(breaker_metrics.CATALOGUE)
    breaker_metrics.track(registry, [breaker, other])

    for _ in range(2):
        breaker.succeeded(breaker.acquire(), 2.0)
        breaker.failed(breaker.acquire(), 0.1, ValueError())
    for _ in range(3):
        with pytest.raises(BreakerOpen):
            breaker.acquire()
    other.released(other.acquire())

    def calls(name: str) -> list[float | None]:
        return [registry.value("breaker_calls_total", {"breaker": name, "outcome": outcome}) for outcome in OUTCOMES]

    assert calls("billing") == calls("billing") == [2, 2, 0, 3]
    assert calls("search") == [0, 0, 1, 0]
    assert registry.value("breaker_state", {"breaker": "billing"}) == 2
    assert registry.value("breaker_state", {"breaker": "search"}) == 0
    assert registry.value("breaker_slow_calls_total", {"breaker": "billing"}) == 2
    assert registry.value("breaker_transitions_total", {"breaker": "billing"}) == 1


def test_every_state_has_a_number_and_those_that_refuse_have_the_largest() -> None:
    assert set(breaker_metrics.STATES) == set(get_args(State))
    refusing = {state for state, number in breaker_metrics.STATES.items() if number >= 2}
    assert refusing == {"open", "forced_open"}


def test_a_breaker_needs_no_event_loop() -> None:
    breaker = Breaker("billing")

    async def answer() -> int:
        return 1

    assert [asyncio.run(breaker.call(answer)) for _ in range(2)] == [1, 1]
    assert breaker.successes == 2
