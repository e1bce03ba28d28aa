"""Every store against a list of what was taken, through any sequence of questions."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from fractions import Fraction
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy.limits.quota import BURSTING, Quota
from roadworthy.limits.store import Counter, Verdict

from .stores import INSTANT, FakeClock, Kind, opened

# Time goes in steps of which a unit's coming back takes some, so that rounding decides nothing.
STEP = 0.5
QUOTAS = [
    Quota.parse("12/minute"),
    Quota.parse("4/10s", burst=7),
    Quota.parse("4/10s", burst=1, algorithm="token_bucket"),
    Quota.parse("5/16s", algorithm="fixed_window"),
    Quota.parse("8/8s", algorithm="sliding_window"),
    Quota.parse("5/9s", algorithm="sliding_log"),
]

_question = st.tuples(
    st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 60)),
    st.sets(st.integers(0, len(QUOTAS) - 1), min_size=1, max_size=3).map(sorted),
    st.integers(1, 6),
    st.sampled_from([1, 1, 4]),
)
_questions = st.lists(st.lists(_question, min_size=1, max_size=4), min_size=1, max_size=12)
"""In rounds, whose questions are asked at once, at the first one's time."""


class Taken:
    """What was taken from one counter: when and how much, the oldest first."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.takings: list[tuple[Fraction, int]] = []

    def free(self, now: Fraction) -> int:
        """How many units could be had, from nothing but what was taken when."""
        quota, period = self.quota, self.quota.seconds
        if quota.algorithm in BURSTING:
            used, since = Fraction(0), Fraction(0)
            for moment, units in self.takings:
                used = max(Fraction(0), used - (moment - since) * quota.count / period) + units
                since = moment
            used = max(Fraction(0), used - (now - since) * quota.count / period)
            return math.floor(quota.capacity - used)
        if quota.algorithm == "sliding_log":
            return quota.count - sum(units for moment, units in self.takings if moment > now - period)
        window = now // period
        current = sum(units for moment, units in self.takings if moment // period == window)
        if quota.algorithm == "fixed_window":
            return quota.count - current
        before = sum(units for moment, units in self.takings if moment // period == window - 1)
        return math.floor(quota.count - current - before * (1 - (now - window * period) / period))

    def most(self) -> int:
        """The most units that were taken in any stretch as long as the period."""
        return max(
            (
                sum(units for moment, units in self.takings if begin <= moment < begin + self.quota.seconds)
                for begin, _ in self.takings
            ),
            default=0,
        )


def _expect(counters: Sequence[Taken], now: Fraction, cost: int, most: int, verdicts: Sequence[Verdict]) -> None:
    free = [one.free(now) for one in counters]
    granted = min(min(free), max(cost, most)) if min(free) >= cost else 0
    for one in counters:
        if granted:
            one.takings.append((now, granted))
    instant = Fraction(INSTANT)
    for one, left, verdict in zip(counters, free, verdicts, strict=True):
        assert (verdict.granted, verdict.remaining) == (granted, left - granted)
        if granted or left >= cost:
            assert verdict.retry_after == 0
        elif cost > one.quota.capacity:
            assert verdict.retry_after == math.inf
        else:
            wait = Fraction(verdict.retry_after)
            assert one.free(now + wait - instant) < cost <= one.free(now + wait + instant)
        if verdict.reset_after == 0:
            assert one.free(now) == one.quota.capacity
        else:
            reset = Fraction(verdict.reset_after)
            assert one.free(now + reset - instant) < one.quota.capacity == one.free(now + reset + instant)
        assert one.most() <= one.quota.most_in_period


async def _ask(kind: Kind, url: str, rounds: Sequence[Sequence[tuple[int, list[int], int, int]]]) -> None:
    clock, prefix = FakeClock(), uuid4().hex
    model = [Taken(quota) for quota in QUOTAS]
    counters = [Counter(f"{prefix}:{number}", quota) for number, quota in enumerate(QUOTAS)]
    async with opened(kind, url, clock) as store:
        for questions in rounds:
            clock.now += questions[0][0] * STEP
            answers = await asyncio.gather(
                *(
                    store.take([counters[number] for number in numbers], cost, most)
                    for _, numbers, cost, most in questions
                )
            )
            for (_, numbers, cost, most), verdicts in zip(questions, answers, strict=True):
                _expect([model[number] for number in numbers], Fraction(clock.now), cost, most, verdicts)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rounds=_questions)
def test_it_answers_as_the_list_of_what_was_taken_says(
    kind: Kind, url: str, rounds: list[list[tuple[int, list[int], int, int]]]
) -> None:
    asyncio.run(_ask(kind, url, rounds))
