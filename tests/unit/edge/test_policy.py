from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy import days, hours, immutable, minutes, private, seconds, secret, shared
from roadworthy.edge.cdn import cloudflare, fastly
from roadworthy.edge.policy import (
    Rules,
    first_named,
    fronts_of,
    normalised,
    pattern_of,
    privatised,
    tag_fields,
    tag_forms,
)
from roadworthy.edge.spec import EdgeSpec, FrontSpec, Policy

PAGE = shared(edge=minutes(10), stale=minutes(1), stale_if_error=days(1))


def fields(policy: Policy, status: int = 200, *fronts: Any) -> dict[str, str]:
    rules = Rules([EdgeSpec("GET /", policy)], [FrontSpec(front) for front in fronts])
    rule = rules.match("GET", "/")
    assert rule is not None
    return {name.decode(): value.decode() for name, value in rule.fields(status)}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (immutable(), {"cache-control": "public, max-age=31536000, immutable"}),
        (
            PAGE,
            {
                "cache-control": "public, max-age=0, must-revalidate",
                "cdn-cache-control": "max-age=600, stale-while-revalidate=60, stale-if-error=86400",
            },
        ),
        (
            shared(browser=minutes(1), edge=minutes(5)),
            {"cache-control": "public, max-age=60", "cdn-cache-control": "max-age=300"},
        ),
        (private(), {"cache-control": "private, no-cache"}),
        (private(browser=minutes(1)), {"cache-control": "private, max-age=60"}),
        (secret(), {"cache-control": "no-store"}),
    ],
)
def test_each_kind_has_its_fields(policy: Policy, expected: dict[str, str]) -> None:
    assert fields(policy) == expected


@pytest.mark.parametrize(
    ("policy", "status", "expected"),
    [
        (PAGE, 404, {"cache-control": "public, max-age=60", "cdn-cache-control": "max-age=60"}),
        (PAGE, 410, {"cache-control": "public, max-age=60", "cdn-cache-control": "max-age=60"}),
        (shared(edge=hours(1), missing=seconds(0)), 404, {"cache-control": "no-store"}),
        (immutable(), 404, {"cache-control": "public, max-age=10", "cdn-cache-control": "max-age=10"}),
        (private(), 404, {"cache-control": "private, no-cache"}),
        (PAGE, 500, {"cache-control": "no-store"}),
        (PAGE, 503, {"cache-control": "no-store"}),
        (PAGE, 403, {"cache-control": "no-store"}),
        (PAGE, 302, {"cache-control": "no-store"}),
        (private(), 302, {"cache-control": "private, no-cache"}),
        (private(), 422, {"cache-control": "no-store"}),
        (immutable(), 500, {"cache-control": "no-store"}),
        (PAGE, 301, fields(PAGE)),
        (PAGE, 304, fields(PAGE)),
    ],
)
def test_a_failure_is_not_kept_as_a_success_is(policy: Policy, status: int, expected: dict[str, str]) -> None:
    assert fields(policy, status) == expected


def test_what_stands_in_front_gets_its_own_fields() -> None:
    stale = "stale-while-revalidate=60, stale-if-error=86400"
    assert fields(PAGE, 200, "fastly")["surrogate-control"] == f"max-age=600, {stale}"
    assert fields(PAGE, 200, "nginx")["cache-control"] == f"public, max-age=0, must-revalidate, s-maxage=600, {stale}"
    assert fields(PAGE, 404, "nginx") == fields(PAGE, 404)
    assert fields(PAGE, 200, "cloudfront")["cache-control"] == "public, max-age=0, must-revalidate, s-maxage=600"
    alike = shared(browser=minutes(10), edge=minutes(10), stale=minutes(1))
    assert fields(alike, 200, "cloudfront")["cache-control"] == "public, max-age=600, stale-while-revalidate=60"


@given(st.sampled_from(["fastly", "cloudfront", "cloudflare", "varnish"]), st.integers(0, 900))
def test_nobody_but_nginx_is_told_to_serve_stale_beside_s_maxage(front: str, browser: int) -> None:
    policy = shared(browser=seconds(browser), edge=minutes(10), stale=minutes(1), stale_if_error=days(1))
    for value in fields(policy, 200, front).values():
        assert not ("s-maxage" in value and "stale" in value)


def test_fronts_are_what_is_said_and_what_is_purged() -> None:
    purged = [cloudflare(zone="z"), fastly(service="s")]
    fronts = fronts_of([FrontSpec("nginx"), FrontSpec("fastly")], purged)
    assert [front.name for front in fronts] == ["nginx", "fastly", "cloudflare"]


def test_one_header_for_two_readers_keeps_to_the_tighter_limits() -> None:
    forms = tag_forms([FrontSpec("cloudflare"), FrontSpec("varnish"), FrontSpec("fastly"), FrontSpec("nginx")])
    assert [(form.header, form.most_bytes) for form in forms] == [("Cache-Tag", 4096), ("Surrogate-Key", 16_384)]
    assert tag_fields(forms, ("a", "b")) == [(b"cache-tag", b"a,b"), (b"surrogate-key", b"a b")]
    assert tag_fields(forms, ["x" * 1000] * 5) is None
    assert tag_fields(forms, ()) == []


def rules(*names: str) -> Rules:
    return Rules([EdgeSpec(name, secret() if not name.startswith("GET") else PAGE) for name in names])


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/", "GET /"),
        ("HEAD", "/", "GET /"),
        ("GET", "/sites/me", "GET /sites/me"),
        ("GET", "/sites/you", "GET /sites/{site}"),
        ("GET", "/sites/you/7", "GET /sites/{site}/{page:int}"),
        ("GET", "/sites/you/x", None),
        ("GET", "/sites/", None),
        ("GET", "/static/a/b.css", "GET /static/{path}"),
        ("GET", "/static/", "GET /static/{path}"),
        ("GET", "/files/a/b/raw", "GET /files/{name:path}/raw"),
        ("GET", "/a.b", "GET /a.{kind}"),
        ("GET", "/aXb", None),
        ("POST", "/sites/you", "POST /sites/{name}"),
        ("POST", "/", None),
        ("DELETE", "/sites/you", None),
        ("GET", "/sites/a\nb", "GET /sites/{site}"),
    ],
)
def test_a_request_is_matched_with_a_route(method: str, path: str, found: str | None) -> None:
    declared = rules(
        "GET /",
        "POST /sites/{name}",
        "GET /sites/{site}",
        "GET /sites/{site}/{page:int}",
        "GET /sites/me",
        "GET /static/{path}",
        "GET /files/{name:path}/raw",
        "GET /a.{kind}",
    )
    rule = declared.match(method, path)
    assert (rule and rule.spec.name) == found


@given(st.lists(st.text("ab.*+?()[]|^$\\", max_size=4), min_size=1, max_size=3))
def test_what_is_fixed_in_a_template_is_matched_as_it_is(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assert re.fullmatch(pattern_of(path), path)
    assert not re.fullmatch(pattern_of(path), path + "x")


def test_kinds() -> None:
    declared = Rules([EdgeSpec("image/*", PAGE), EdgeSpec("image/png", private()), EdgeSpec("*", secret())])
    kind = {
        content: rule.spec.name
        for content in (b"image/png", b"IMAGE/GIF; q=1", b"text/html; charset=utf-8", b"")
        if (rule := declared.of_kind(content)) is not None
    }
    assert list(kind.values()) == ["image/png", "image/*", "*", "*"]
    assert rules("GET /").of_kind(b"image/png") is None
    assert not Rules([])
    assert declared


def test_tags_are_rendered_from_path_and_query() -> None:
    spec = EdgeSpec("GET /sites/{site}", PAGE, ("all", "site:{site}", "q:{q}"))
    rule = Rules([spec]).match("GET", "/sites/Shop")
    assert rule is not None
    assert rule.tags("/sites/Shop", b"q=A%20b&q=second") == ["all", "site:shop", "q:a%20b"]
    assert rule.tags("/sites/Shop", b"site=other&q=") == ["all", "site:shop"]


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        (b"public, max-age=60", b"private, max-age=60"),
        (b"max-age=60, s-maxage=600", b"private, max-age=60"),
        (b"no-cache", b"private, no-cache"),
        (b"no-store", b"no-store"),
        (b"private, max-age=60", b"private, max-age=60"),
        (b'private="set-cookie", max-age=60', b"private, max-age=60"),
        (b'public, ext="a, public", PUBLIC', b'private, ext="a, public"'),
        (b"", b"private"),
    ],
)
def test_what_is_somebodys_is_made_private(given_: bytes, left: bytes) -> None:
    assert privatised(given_) == left


def test_headers_that_vary_by_listed_values_have_those_alone() -> None:
    policy = shared(edge=minutes(1), vary={"Accept-Language": ("de", "en"), "Accept": None})
    rule = Rules([EdgeSpec("GET /", policy)]).match("GET", "/")
    assert rule is not None
    given_ = [(b"accept-language", b"fr, en-GB;q=0.9"), (b"accept", b"x"), (b"accept-language", b"de")]
    assert normalised(given_, rule) == [(b"accept", b"x"), (b"accept-language", b"en")]
    assert normalised([(b"accept-language", b"fr")], rule) == []
    assert normalised([], rule) == []


@pytest.mark.parametrize(
    ("given_", "chosen"), [("de-at,en", "de"), ("dee,en;q=0.1", "en"), ("*", None), ("", None), ("EN".lower(), "en")]
)
def test_the_first_listed_value_is_chosen(given_: str, chosen: str | None) -> None:
    assert first_named(given_, ("de", "en")) == chosen
