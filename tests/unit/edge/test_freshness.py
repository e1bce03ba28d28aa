from __future__ import annotations

from typing import Any

import pytest

from roadworthy.edge.cache_control import parse_cache_control
from roadworthy.edge.dates import format_date
from roadworthy.edge.freshness import Assessment, Rules, Use, assess, kept_for, usable_on_error, use
from roadworthy.edge.stored import StoredResponse

NOW = 1_750_000_000.0
RULES = Rules(targeted=(b"cdn-cache-control",))


def at(seconds: float) -> bytes:
    return format_date(NOW + seconds)


def assessed(
    fields: dict[bytes, Any],
    *,
    status: int = 200,
    request: dict[bytes, bytes] | None = None,
    rules: Rules = RULES,
    delay: float = 0.0,
) -> Assessment:
    lines = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}
    directives = parse_cache_control([(request or {}).get(b"cache-control", b"")])
    return assess(request or {}, directives, status, lines, requested=NOW - delay, received=NOW, rules=rules)


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ({b"cache-control": b"max-age=60"}, 60),
        ({b"cache-control": b"max-age=60, s-maxage=5"}, 5),
        ({b"cache-control": b"s-maxage=60, max-age=0", b"expires": at(-10)}, 60),
        ({b"cache-control": b"max-age=60", b"expires": b"0"}, 60),
        ({b"expires": at(30), b"date": at(0)}, 30),
        ({b"expires": at(30), b"date": at(-10)}, 40),
        ({b"expires": at(30), b"date": b"foo"}, 30),
        ({b"expires": at(30)}, 30),
        ({b"expires": [at(30), at(30)]}, 30),
        ({b"cache-control": b"max-age=0", b"cdn-cache-control": b"max-age=60", b"expires": at(-1)}, 60),
        ({b"cache-control": b"no-store", b"cdn-cache-control": b"max-age=60"}, 60),
        ({b"cache-control": b"max-age=7", b"cdn-cache-control": b"max-age=60, &"}, 7),
        ({b"last-modified": at(-1000), b"date": at(0)}, 100),
        ({b"last-modified": at(-(10**9))}, 3600),
    ],
)
def test_lifetimes(fields: dict[bytes, Any], lifetime: float) -> None:
    found = assessed(fields)
    assert found.refusal is None
    assert found.lifetime == lifetime


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({}, "no-lifetime"),
        ({b"etag": b'"a"'}, "no-lifetime"),
        ({b"cache-control": b"max-age=0"}, "never-fresh"),
        ({b"cache-control": b"max-age=60, no-cache"}, "never-fresh"),
        ({b"expires": b"0"}, "never-fresh"),
        ({b"expires": [at(30), at(31)]}, "never-fresh"),
        ({b"cache-control": b"no-store, max-age=60"}, "no-store"),
        ({b"cache-control": b"max-age=60", b"cdn-cache-control": b"no-store"}, "no-store"),
        ({b"cache-control": b"private, max-age=60"}, "private"),
        ({b"cache-control": b"max-age=60", b"cdn-cache-control": b"private"}, "private"),
        ({b"cache-control": b"max-age=60", b"vary": b"foo, *"}, "vary"),
        ({b"cache-control": b"max-age=60", b"set-cookie": b"a=b"}, "set-cookie"),
        ({b"cache-control": b"max-age=60, public", b"set-cookie": b"a=b"}, "set-cookie"),
        ({b"cache-control": b"max-age=60", b"content-length": b"12, 13"}, "content-length"),
        ({b"cache-control": b"max-age=60", b"content-type": b"text/event-stream; x"}, "event-stream"),
    ],
)
def test_refusals(fields: dict[bytes, Any], refusal: str) -> None:
    assert assessed(fields).refusal == refusal


@pytest.mark.parametrize(
    ("status", "control", "refusal"),
    [
        (200, b"", None),
        (404, b"", None),
        (501, b"", None),
        (201, b"", "no-lifetime"),
        (302, b"", "no-lifetime"),
        (503, b"", "no-lifetime"),
        (599, b"", "no-lifetime"),
        (599, b"public", None),
        (599, b"max-age=60", None),
        (503, b"max-age=60", None),
        (206, b"max-age=60", "status"),
        (304, b"max-age=60", "status"),
        (103, b"max-age=60", "status"),
        (599, b"max-age=60, no-store, must-understand", "status"),
        (200, b"max-age=60, no-store, must-understand", None),
    ],
)
def test_statuses(status: int, control: bytes, refusal: str | None) -> None:
    fields = {b"last-modified": at(-1000), b"cache-control": control}
    assert assessed(fields, status=status).refusal == refusal


@pytest.mark.parametrize(
    ("control", "authorised", "with_cookie"),
    [
        (b"max-age=60", "authorization", "cookie"),
        (b"max-age=60, public", None, None),
        (b"s-maxage=60", None, None),
        (b"max-age=60, must-revalidate", None, "cookie"),
        (b"max-age=60, private", "private", "private"),
    ],
)
def test_responses_to_requests_with_credentials(
    control: bytes, authorised: str | None, with_cookie: str | None
) -> None:
    fields = {b"cache-control": control}
    assert assessed(fields, request={b"authorization": b"x"}).refusal == authorised
    assert assessed(fields, request={b"cookie": b"a=b"}).refusal == with_cookie


def test_what_is_told_to_share_is_shared() -> None:
    told = Rules(share_cookies=True, share_authorised=True)
    request = {b"cookie": b"a=b", b"authorization": b"x"}
    assert (
        assessed({b"cache-control": b"max-age=60", b"set-cookie": b"c=d"}, request=request, rules=told).refusal is None
    )
    by_cookie = {b"cache-control": b"max-age=60", b"vary": b"accept, Cookie"}
    assert assessed(by_cookie, request={b"cookie": b"a=b"}).refusal is None
    targeted = {b"cache-control": b"private", b"cdn-cache-control": b"max-age=60"}
    assert assessed(targeted, request={b"cookie": b"a=b"}).refusal is None
    assert assessed(targeted, request={b"authorization": b"x"}).refusal == "authorization"


def test_fields_are_left_out_rather_than_the_response() -> None:
    found = assessed({b"cache-control": b'max-age=60, private="set-cookie, X-User"', b"set-cookie": b"a=b"})
    assert found.refusal is None
    assert found.without == {b"set-cookie", b"x-user"}
    found = assessed({b"cache-control": b'max-age=60, no-cache="a"'})
    assert (found.refusal, found.always_validate, found.without) == (None, False, {b"a"})


@pytest.mark.parametrize(
    ("fields", "delay", "age"),
    [
        ({}, 0.0, 0.0),
        ({b"age": b"30"}, 0.0, 30.0),
        ({b"age": b"30"}, 5.0, 35.0),
        ({b"date": at(-40), b"age": b"30"}, 5.0, 40.0),
        ({b"date": at(40)}, 0.0, 0.0),
        ({b"age": b"abc"}, 0.0, 0.0),
        ({b"age": b"-5"}, 0.0, 0.0),
        ({b"age": b"7200.0"}, 0.0, 0.0),
        ({b"age": b"7200, 0"}, 0.0, 7200.0),
        ({b"age": [b"0", b"7200"]}, 0.0, 0.0),
        ({b"age": b"99999999999"}, 0.0, float(2**31)),
    ],
)
def test_the_age_of_a_response_when_it_comes(fields: dict[bytes, Any], delay: float, age: float) -> None:
    assert assessed(fields | {b"cache-control": b"max-age=60"}, delay=delay).initial_age == age


@pytest.mark.parametrize(
    ("control", "while_", "error", "allowed"),
    [
        (b"", 0.0, 60.0, True),
        (b"stale-while-revalidate=30, stale-if-error=90", 30.0, 90.0, True),
        (b"stale-if-error=0", 0.0, 0.0, True),
        (b"must-revalidate, stale-while-revalidate=30", 0.0, 0.0, False),
        (b"proxy-revalidate, stale-if-error=30", 0.0, 0.0, False),
        (b"s-maxage=60, stale-if-error=30", 0.0, 0.0, False),
        (b"no-cache, stale-if-error=30", 0.0, 0.0, False),
    ],
)
def test_how_long_it_may_be_stale(control: bytes, while_: float, error: float, allowed: bool) -> None:
    found = assessed({b"cache-control": b"max-age=60, " + control, b"etag": b'"a"'})
    assert (found.stale_while, found.stale_error, found.may_be_stale) == (while_, error, allowed)


def stored(**options: Any) -> StoredResponse:
    return StoredResponse(**({"status": 200, "received": NOW, "lifetime": 60.0} | options))


@pytest.mark.parametrize(
    ("control", "after", "options", "expected"),
    [
        (b"", 59, {}, Use.FRESH),
        (b"", 60, {}, Use.VALIDATE),
        (b"", 0, {"always_validate": True}, Use.VALIDATE),
        (b"no-cache", 0, {}, Use.VALIDATE),
        (b"no-store", 0, {}, Use.VALIDATE),
        (b"max-age=10", 9, {}, Use.FRESH),
        (b"max-age=10", 11, {}, Use.VALIDATE),
        (b"max-age=0", 0.5, {}, Use.VALIDATE),
        (b"min-fresh=20", 39, {}, Use.FRESH),
        (b"min-fresh=20", 41, {}, Use.VALIDATE),
        (b"max-stale", 10_000, {}, Use.STALE),
        (b"max-stale=10", 69, {}, Use.STALE),
        (b"max-stale=10", 71, {}, Use.VALIDATE),
        (b"max-stale=10", 69, {"may_be_stale": False}, Use.VALIDATE),
        (b"", 69, {"stale_while": 10.0}, Use.STALE_WHILE_REVALIDATE),
        (b"", 70, {"stale_while": 10.0}, Use.VALIDATE),
        (b"min-fresh=0", 69, {"stale_while": 10.0}, Use.VALIDATE),
        (b"", 10, {"initial_age": 51.0}, Use.VALIDATE),
    ],
)
def test_what_a_stored_response_is_good_for(control: bytes, after: float, options: Any, expected: Use) -> None:
    assert use(stored(**options), parse_cache_control([control]), NOW + after) is expected


@pytest.mark.parametrize(
    ("control", "after", "options", "expected"),
    [
        (b"", 69, {"stale_error": 10.0}, True),
        (b"", 71, {"stale_error": 10.0}, False),
        (b"stale-if-error=20", 71, {"stale_error": 10.0}, True),
        (b"no-cache", 69, {"stale_error": 10.0}, False),
        (b"", 69, {"stale_error": 10.0, "may_be_stale": False}, False),
    ],
)
def test_standing_in_for_a_failure(control: bytes, after: float, options: Any, expected: bool) -> None:
    assert usable_on_error(stored(**options), parse_cache_control([control]), NOW + after) is expected


def test_it_is_kept_while_it_is_of_use() -> None:
    assert kept_for(stored(), NOW) == 60
    assert kept_for(stored(stale_while=5.0, stale_error=10.0), NOW + 20) == 50
    assert kept_for(stored(etag=b'"a"'), NOW) == 3660
