"""Each algorithm against a model of it in exact arithmetic, and what all of them promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.limits.policy import policy_of, take
from roadworthy.limits.quota import ALGORITHMS, BURSTING, Algorithm, Quota
from roadworthy.limits.store import Verdict

ORIGIN = 1_700_000_000.0
"""The Unix time at which the tests' clock is at 0."""
STEPS = 8
"""Parts of a unit's spacing: time moves by whole ones, so that no rounding decides."""

Model = Any


def quota_of(algorithm: Algorithm, count: int, seconds: int, burst: int | None) -> Quota:
    return Quota(count, timedelta(seconds=seconds), burst if algorithm in BURSTING else None, algorithm)


class Bucket:
    """Tokens that come back evenly: what GCRA and the token bucket are."""

    def __init__(self, quota: Quota) -> None:
        self.rate, self.capacity = Fraction(quota.count, quota.seconds), quota.capacity
        self.tokens, self.at = Fraction(quota.capacity), Fraction(0)

    def available(self, now: Fraction) -> Fraction:
        self.tokens = min(Fraction(self.capacity), self.tokens + (now - self.at) * self.rate)
        self.at = now
        return self.tokens

    def take(self, now: Fraction, units: int) -> None:
        self.tokens -= units


class Windows:
    """Units by window."""

    def __init__(self, quota: Quota) -> None:
        self.count, self.seconds = quota.count, quota.seconds
        self.units: dict[int, int] = {}

    def window(self, now: Fraction) -> int:
        return math.floor((now + Fraction(ORIGIN)) / self.seconds)

    def available(self, now: Fraction) -> Fraction:
        return Fraction(self.count - self.units.get(self.window(now), 0))

    def take(self, now: Fraction, units: int) -> None:
        self.units[self.window(now)] = self.units.get(self.window(now), 0) + units


class Sliding(Windows):
    """Those of the window before by the part of it that a window ending now covers."""

    def available(self, now: Fraction) -> Fraction:
        window = self.window(now)
        passed = (now + Fraction(ORIGIN)) / self.seconds - window
        return self.count - self.units.get(window, 0) - self.units.get(window - 1, 0) * (1 - passed)


class Everything:
    """Every taking there was."""

    def __init__(self, quota: Quota) -> None:
        self.count, self.seconds = quota.count, quota.seconds
        self.takings: list[tuple[Fraction, int]] = []

    def available(self, now: Fraction) -> Fraction:
        return Fraction(self.count - sum(units for at, units in self.takings if at > now - self.seconds))

    def take(self, now: Fraction, units: int) -> None:
        self.takings.append((now, units))


MODELS: dict[Algorithm, type[Model]] = {
    "gcra": Bucket,
    "token_bucket": Bucket,
    "fixed_window": Windows,
    "sliding_window": Sliding,
    "sliding_log": Everything,
}

Requests = Sequence[tuple[int, int, int]]

requests = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(1, 3 * STEPS), st.integers(0, 60 * STEPS)),
        st.integers(1, 7),
        st.integers(0, 5),
    ),
    max_size=40,
)
quotas = st.builds(
    quota_of,
    st.sampled_from(ALGORITHMS),
    st.sampled_from((1, 2, 3, 5, 7, 10)),
    st.sampled_from((1, 7, 60, 3600)),
    st.sampled_from((None, 1, 3, 20)),
)


def moments(quota: Quota, asked: Requests) -> list[tuple[Fraction, int, int]]:
    """Return requests with the time of each: (moment, units needed, units wanted besides)."""
    now, step, made = Fraction(0), Fraction(quota.seconds, quota.count * STEPS), []
    for gap, cost, more in asked:
        now += gap * step
        made.append((now, cost, more))
    return made


@given(quotas, requests)
@settings(max_examples=150, deadline=None)
def test_an_algorithm_decides_as_its_model_does(quota: Quota, asked: Requests) -> None:
    policy, model, state = policy_of(quota, ORIGIN), MODELS[quota.algorithm](quota), None
    for now, cost, more in moments(quota, asked):
        there = model.available(now)
        (state,), (verdict,) = take([policy], [state], float(now), cost, cost + more)
        assert verdict.granted == (0 if there < cost else min(cost + more, math.floor(there)))
        if verdict.granted:
            model.take(now, verdict.granted)
        assert verdict.remaining == math.floor(there) - verdict.granted
        assert (verdict.retry_after == 0) == (verdict.granted > 0)
        assert (verdict.retry_after == math.inf) == (cost > quota.capacity)


@given(quotas, requests)
@settings(max_examples=150, deadline=None)
def test_no_stretch_as_long_as_the_period_has_more_than_is_said(quota: Quota, asked: Requests) -> None:
    policy, state, admitted = policy_of(quota, ORIGIN), None, []
    for now, cost, more in moments(quota, asked):
        (state,), (verdict,) = take([policy], [state], float(now), cost, cost + more)
        admitted.append((now, verdict.granted))
    for start, _ in admitted:
        assert sum(units for at, units in admitted if start <= at < start + quota.seconds) <= quota.most_in_period


@given(quotas, requests, st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_who_is_denied_is_admitted_when_it_was_said_and_not_before(quota: Quota, asked: Requests, cost: int) -> None:
    policy, state, now = policy_of(quota, ORIGIN), None, Fraction(0)
    for now, units, _ in moments(quota, asked):
        (state,), _ = take([policy], [state], float(now), units, units)
    wait = policy.wait(state, float(now), cost)
    if wait == math.inf:
        assert cost > quota.capacity
        return
    tick = quota.spacing / 1000
    if wait > quota.spacing / 4:
        assert policy.available(state, float(now) + wait / 2) < cost
        assert policy.wait(state, float(now) + wait / 2, cost) == pytest.approx(wait / 2, rel=1e-6, abs=tick)
    assert policy.available(state, float(now) + wait + tick) >= cost


@given(quotas, requests)
@settings(max_examples=150, deadline=None)
def test_all_of_the_quota_is_there_again_when_it_was_said(quota: Quota, asked: Requests) -> None:
    policy, state, now = policy_of(quota, ORIGIN), None, Fraction(0)
    for now, units, _ in moments(quota, asked):
        (state,), (verdict,) = take([policy], [state], float(now), units, units)
        assert verdict.reset_after == policy.reset(state, float(now))
        assert verdict.reset_after > 0 or policy.available(state, float(now)) == quota.capacity
    later = float(now) + policy.reset(state, float(now))
    assert policy.available(state, later + quota.spacing / 1000) == quota.capacity


def test_two_counters_are_both_taken_from_or_neither() -> None:
    quotas = [Quota.parse("5/minute"), Quota.parse("3/hour", algorithm="fixed_window")]
    policies = [policy_of(quota, ORIGIN) for quota in quotas]
    states: Sequence[Any] = [None, None]

    states, verdicts = take(policies, states, 0.0, 3, 3)
    assert [verdict.granted for verdict in verdicts] == [3, 3]
    after, verdicts = take(policies, states, 0.0, 1, 1)
    assert after == states
    assert [verdict.granted for verdict in verdicts] == [0, 0]
    assert [verdict.remaining for verdict in verdicts] == [2, 0]
    assert [verdict.retry_after > 0 for verdict in verdicts] == [False, True]


def test_more_than_the_cost_is_taken_where_all_have_it() -> None:
    policies = [policy_of(Quota.parse(text), ORIGIN) for text in ("10/minute", "4/hour")]
    _, verdicts = take(policies, [None, None], 0.0, 2, 7)
    assert verdicts == [
        Verdict(4, 6, 0.0, pytest.approx(24.0)),
        Verdict(4, 0, 0.0, pytest.approx(3600.0)),
    ]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_whole_quota_may_come_at_once(algorithm: Algorithm) -> None:
    quota = Quota(10_000, timedelta(seconds=7), None, algorithm)
    policy, state = policy_of(quota, ORIGIN), None
    for _ in range(10_000):
        (state,), (verdict,) = take([policy], [state], 123_456.789, 1, 1)
        assert verdict.granted == 1
    assert take([policy], [state], 123_456.789, 1, 1)[1][0].granted == 0
