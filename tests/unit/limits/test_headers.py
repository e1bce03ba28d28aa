from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy import minutes
from roadworthy.limits.decision import Decision
from roadworthy.limits.headers import legacy, policies, policy, policy_name, remaining, seconds_until
from roadworthy.limits.quota import Quota
from roadworthy.limits.spec import LimitSpec

QUOTA = Quota(100, minutes(1))

# RFC 9651: a list of strings, each with parameters that are integers.
_ITEM = r'"[\x20\x21\x23-\x5b\x5d-\x7e]*"(;[a-z]+=[0-9]{1,15})+'
LIST = re.compile(rf"{_ITEM}(, {_ITEM})*")


def decision(
    *, admitted: bool = True, left: int = 7, retry: float = 0.0, reset: float = 12.3, index: int = 0
) -> Decision:
    return Decision(admitted, "api", QUOTA, index, left, retry, reset, "memory")


def test_a_policy_says_how_much_in_what_time() -> None:
    assert policy("api", 0, QUOTA) == '"api";q=100;w=60'


def test_each_quota_of_a_limit_is_a_policy_of_its_own() -> None:
    limit = LimitSpec("login", (Quota.parse("5/minute"), Quota.parse("100/day")))
    api = LimitSpec("api", (QUOTA,))
    assert policies([limit, api]) == b'"login";q=5;w=60, "login-2";q=100;w=86400, "api";q=100;w=60'
    assert LIST.fullmatch(policies([limit, api]).decode())


def test_what_is_left_of_the_strictest_quota() -> None:
    assert remaining(decision(), 13) == '"api";r=7;t=13'
    assert remaining(decision(index=1), 13) == '"api-2";r=7;t=13'


def test_who_was_refused_has_nothing_left() -> None:
    # A request for several units may be refused while there are some.
    assert remaining(decision(admitted=False, retry=2.0), 2) == '"api";r=0;t=2'


def test_what_is_never_admitted_has_no_time() -> None:
    never = decision(admitted=False, retry=math.inf)
    assert seconds_until(never, 0.5) is None
    assert remaining(never, None) == '"api";r=0'


@given(
    admitted=st.booleans(),
    left=st.integers(0, 10**9),
    retry=st.floats(0, 10**7),
    reset=st.floats(0, 10**7),
    drawn=st.floats(0, 1, exclude_max=True),
)
def test_no_client_is_told_to_come_back_too_early(
    admitted: bool, left: int, retry: float, reset: float, drawn: float
) -> None:
    one = decision(admitted=admitted, left=left, retry=retry, reset=reset)
    seconds = seconds_until(one, drawn)
    assert seconds is not None
    after = reset if admitted else retry
    assert after <= seconds <= after * 1.1 + 1
    assert admitted or seconds >= 1
    assert LIST.fullmatch(remaining(one, seconds))


def test_the_same_quota_comes_back_at_different_times() -> None:
    one = decision(admitted=False, retry=100.0)
    assert len({seconds_until(one, drawn / 10) for drawn in range(10)}) == 10


@pytest.mark.parametrize(("admitted", "left"), [(True, b"7"), (False, b"0")])
def test_the_older_fields(admitted: bool, left: bytes) -> None:
    assert legacy(decision(admitted=admitted), 13, 1000.5) == [
        (b"x-ratelimit-limit", b"100"),
        (b"x-ratelimit-remaining", left),
        (b"x-ratelimit-reset", b"1014"),
    ]
    assert len(legacy(decision(admitted=admitted), None, 1000.5)) == 2


def test_names_of_quotas() -> None:
    assert [policy_name("api", index) for index in range(3)] == ["api", "api-2", "api-3"]
