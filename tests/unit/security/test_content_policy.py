"""Content policies: written as browsers read them, and refused where any script could run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from roadworthy import Service
from roadworthy.errors import DeclarationError
from roadworthy.security.browsers import BrowsersSpec
from roadworthy.security.content_policy import ContentPolicy, inline


def test_the_whole_of_it() -> None:
    policy = ContentPolicy(
        default=("none",),
        script=("self", "https://cdn.example.org", inline("alert(1)")),
        style=("self", "unsafe-inline"),
        img=("self", "data:", "https://*.images.example:443/a/"),
        upgrade_insecure_requests=True,
        report_to="/csp",
    )
    assert policy.text == (
        "default-src 'none'; script-src 'self' https://cdn.example.org "
        "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: https://*.images.example:443/a/; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; upgrade-insecure-requests; report-uri /csp"
    )


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"script": ("unsafe-inline",)}, "any script runs"),
        ({"script": ("unsafe-eval",)}, "any script runs"),
        ({"default": ("*",)}, "any script runs"),
        ({"default": ("https:",)}, "any script runs"),
        ({"object": ("data:",)}, "any script runs"),
        ({"default": None}, "neither default nor script"),
        ({"img": ("self; script-src *",)}, "no source"),
        ({"img": ("'self'",)}, "no source"),
        ({"img": ("none", "self")}, "stands alone"),
        ({"img": ()}, "write .'none',."),
        ({"img": "self"}, "write .'self',."),
        ({"report_to": "csp"}, "a path or an https URL"),
        ({"report_to": "/csp; script-src *"}, "a path or an https URL"),
    ],
)
def test_what_protects_from_nothing_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        _ = ContentPolicy(**values).text


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"preload": True}, "subdomains=True"),
        ({"strict_transport": timedelta(-1)}, "whole seconds"),
        ({"permissions": {"camera": "self"}}, "write as in"),
        ({"permissions": {"camera": ("http://a",)}}, "https origin"),
        ({"permissions": {"Camera": ()}}, "write as in"),
    ],
)
def test_what_browsers_would_pass_over_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        Service("shop").browsers(**values)


def test_strict_transport_for_the_lists_of_browsers() -> None:
    spec = BrowsersSpec(subdomains=True, preload=True)
    assert spec.strict_field()[1] == b"max-age=63072000; includeSubDomains; preload"


def test_it_is_declared_once() -> None:
    service = Service("shop")
    service.browsers()
    with pytest.raises(DeclarationError, match="already declared"):
        service.browsers()


@pytest.mark.parametrize("host", ["https://a.example", "a.example:80", "A.example", "*", "*.", ""])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(DeclarationError, match="host"):
        Service("shop").hosts(host)
    with pytest.raises(DeclarationError, match="names no host"):
        Service("shop").hosts()


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("/uploads", {"body": 1}),
        ("post /uploads", {"body": 1}),
        ("*", {"body": -1}),
        ("*", {"depth": 0}),
        ("*", {"deadline": timedelta(days=2)}),
    ],
)
def test_bounds_that_bound_nothing(what: str, values: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="bounds"):
        Service("shop").bounds(what, **values)
