from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from roadworthy import DeclarationError, Service, days, hours, immutable, minutes, private, seconds, secret, shared
from roadworthy.edge.spec import EdgeSpec, FrontSpec, Policy, Vary

PAGE = shared(edge=minutes(10))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shared(edge=seconds(0)), "edge=0, which keeps nothing"),
        (lambda: shared(edge=days(367)), "must be 0 to 366 days"),
        (lambda: shared(edge=seconds(-1)), "must be 0 to 366 days"),
        (lambda: shared(edge=seconds(1.5)), "whole seconds"),
        (lambda: private(browser=timedelta(milliseconds=5)), "whole seconds"),
        (lambda: immutable(lifetime=hours(1)), r"changes within a day is shared\(\)"),
        (lambda: shared(edge=minutes(1), vary=("Cookie",)), r"varies by 'Cookie'.*use private\(\)"),
        (lambda: shared(edge=minutes(1), vary=("authorization",)), r"entry of their own"),
        (lambda: shared(edge=minutes(1), vary=("*",)), "name a request header"),
        (lambda: shared(edge=minutes(1), vary=("Accept", "accept")), "twice"),
        (lambda: shared(edge=minutes(1), vary={"Accept-Language": ("de; x",)}), "value 'de; x'"),
        (lambda: shared(edge=minutes(1), vary="Accept"), "write a sequence"),
        (lambda: shared(edge=minutes(1), query="q"), "write a sequence"),
        (lambda: shared(edge=minutes(1), query=("a=b",)), "query parameter 'a=b'"),
        (lambda: shared(edge=minutes(1), cookies="shared"), "write 'bypass' or 'ignored'"),  # type: ignore[arg-type]
    ],
)
def test_policies_that_cannot_work(make: Callable[[], Policy], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "policy", "options", "message"),
    [
        ("/search", PAGE, {}, "is neither a route"),
        ("get /search", PAGE, {}, "is no route"),
        ("GET search", PAGE, {}, "is no route"),
        ("GET /search?q", PAGE, {}, "is no route"),
        ("GET /a/{b", PAGE, {}, "is no route"),
        ("POST /login", PAGE, {}, r"caches keep no answer to POST; use secret\(\)"),
        ("image/*", PAGE, {"cached": True}, "needs a route"),
        ("GET /me", private(), {"cached": True}, "no shared cache"),
        ("GET /me", private(), {"tags": ("me",)}, "has tags, but private"),
        ("GET /static/{path}", immutable(), {"tags": ("static",)}, "is immutable and has tags"),
        ("image/*", PAGE, {"tags": ("image:{id}",)}, "no parameter 'id'"),
        ("GET /a/{b}", shared(edge=minutes(1), query=("q",)), {"tags": ("{c}",)}, "no parameter 'c'; it has: b, q"),
        ("image/*", shared(edge=minutes(1), query=("q",)), {}, "must be known before the response"),
        ("*", shared(edge=minutes(1), vary={"Accept": ("a",)}), {}, "must be known before the response"),
    ],
)
def test_edges_that_cannot_work(name: str, policy: Policy, options: dict[str, object], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        EdgeSpec(name, policy, **options)  # type: ignore[arg-type]


def test_edges_that_can() -> None:
    edge = EdgeSpec("GET /sites/{site}/{page:int}", shared(edge=minutes(1), query=("q",)), ("{site}:{page}", "q:{q}"))
    assert edge.route == ("GET", "/sites/{site}/{page:int}")
    assert edge.path_parameters == ("site", "page")
    assert EdgeSpec("GET /search", PAGE, ("site:{site}",), cached=True).cached
    assert EdgeSpec("POST /login", secret()).route == ("POST", "/login")
    assert EdgeSpec("image/*", PAGE, ("images",)).route is None
    assert shared(edge=minutes(1), vary={"Accept-Language": ("de", "en"), "Accept": None}).vary == (
        Vary("Accept-Language", ("de", "en")),
        Vary("Accept"),
    )


def test_fronts() -> None:
    assert FrontSpec("nginx").form is None
    form = FrontSpec("cloudfront", "X-Tags").form
    assert form is not None
    assert form.header == "X-Tags"
    with pytest.raises(DeclarationError, match="nothing is known of 'akamai'"):
        FrontSpec("akamai")  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="only CloudFront's"):
        FrontSpec("fastly", "X-Tags")
    with pytest.raises(DeclarationError, match="name a header"):
        FrontSpec("cloudfront", "X Tags")


def test_a_service_declares_edges_and_what_it_is_behind() -> None:
    service = Service("shop")
    service.edge("GET /search", PAGE, tags=("site:{site}",), cached=True)
    service.edge("*", private())
    service.behind("nginx")
    assert [edge.name for edge in service.spec.edges] == ["GET /search", "*"]
    assert service.spec.fronts == (FrontSpec("nginx"),)
    with pytest.raises(DeclarationError, match=r"edge 'GET /search' is already declared at .*test_spec\.py:\d+"):
        service.edge("GET /search", secret())
    with pytest.raises(DeclarationError, match="write a sequence"):
        service.edge("GET /", PAGE, tags="site")
