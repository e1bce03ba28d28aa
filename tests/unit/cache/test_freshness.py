"""Fresh, early, stale or dead: at the boundaries, and as likely as XFetch says."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from roadworthy.cache.freshness import lifetimes, quiet_until, state_of
from roadworthy.cache.record import Entry
from roadworthy.cache.spec import CacheSpec

ENTRY = Entry(b"", 1, fresh_until=100.0, kept_until=200.0, cost=2.0)
SPEC = CacheSpec(
    "pages", timedelta(seconds=100), stale=timedelta(seconds=50), negative_ttl=timedelta(seconds=10), jitter=0.2
)


@pytest.mark.parametrize(
    ("now", "state"),
    [(0.0, "fresh"), (99.9, "fresh"), (100.0, "stale"), (199.9, "stale"), (200.0, "dead")],
)
def test_an_entry_grows_old(now: float, state: str) -> None:
    assert state_of(ENTRY, 0.0, now, 0.0001) == state


@pytest.mark.parametrize("left", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("early", [1.0, 3.0])
def test_an_early_refresh_is_as_likely_as_the_time_left_says(left: float, early: float) -> None:
    chance = math.exp(-left / (early * ENTRY.cost))
    now = 100.0 - left
    assert state_of(ENTRY, early, now, chance * 0.999) == "early"
    assert state_of(ENTRY, early, now, min(chance * 1.001, 1.0)) == "fresh"


def test_before_it_is_quiet_no_longer_no_chance_makes_a_refresh() -> None:
    assert quiet_until(ENTRY, 1.0) == 60.0
    assert state_of(ENTRY, 1.0, 59.9, 2.0**-29) == "early" or state_of(ENTRY, 1.0, 59.9, 1e-8) == "fresh"
    assert quiet_until(ENTRY, 0.0) == 100.0


def test_a_lifetime_is_shortened_by_the_jitter_and_none_has_its_own() -> None:
    assert lifetimes(SPEC, none=False, ttl=None, now=0.0, chance=0.0) == (100.0, 150.0)
    assert lifetimes(SPEC, none=False, ttl=None, now=0.0, chance=1.0) == (80.0, 130.0)
    assert lifetimes(SPEC, none=True, ttl=None, now=0.0, chance=0.0) == (10.0, 60.0)
    assert lifetimes(SPEC, none=True, ttl=timedelta(seconds=20), now=0.0, chance=0.0) == (20.0, 70.0)
