"""What can be declared of API keys, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from roadworthy import DeclarationError, Service, days, seconds


def test_a_declaration_is_frozen_with_its_routes() -> None:
    service = Service("shop")
    service.api_keys(prefix="shop", scopes=("read", "write"), routes={"/api/*": "read", "POST /api/*": ("write",)})
    (spec,) = service.spec.api_keys
    assert (spec.name, spec.header, spec.scheme) == ("api", "authorization", "Bearer")
    assert [(one.method, one.path, one.scopes) for one in spec.guarded] == [
        (None, "/api/*", ("read",)),
        ("POST", "/api/*", ("write",)),
    ]
    assert service.spec.places["api_keys", "api"].partition(":")[0].endswith("test_keys_spec.py")


def test_keys_can_be_shown_in_a_header_of_their_own() -> None:
    service = Service("shop")
    service.api_keys(prefix="shop", header="X-API-Key", routes={"/api/*": None})
    (spec,) = service.spec.api_keys
    assert (spec.header, spec.scheme, spec.guarded[0].scopes) == ("x-api-key", "", ())


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"prefix": "S"}, "prefix"),
        ({"prefix": "shop_"}, "prefix"),
        ({"prefix": "shop__live"}, "prefix"),
        ({"prefix": "shop\n"}, "prefix"),
        ({"name": "My keys"}, "name"),
        ({"scopes": "read"}, "sequence"),
        ({"scopes": ("Read all",)}, "scope"),
        ({"scopes": ("read", "read")}, "twice"),
        ({"routes": {"/api/*": "read"}}, "do not declare"),
        ({"routes": {"api": None}}, "routes="),
        ({"routes": {"/api/*/x": None}}, "routes="),
        ({"routes": {"get /api": None}}, "routes="),
        ({"header": "Authorization"}, "scheme"),
        ({"header": "Cookie: key"}, "browsers"),
        ({"header": "X API"}, "place"),
        ({"stale": days(2)}, "stale"),
        ({"stale": -seconds(1)}, "stale"),
        ({"lifetime": seconds(1)}, "lifetime"),
    ],
)
def test_what_cannot_work_is_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        Service("shop").api_keys(**{"prefix": "shop", **declared})


def test_two_declarations_have_prefixes_of_their_own() -> None:
    service = Service("shop")
    service.api_keys(prefix="shop")
    with pytest.raises(DeclarationError, match="prefix"):
        service.api_keys("admin", prefix="shop")
    service.api_keys("admin", prefix="shop_admin")


def test_a_decorator_asks_for_declared_scopes_alone() -> None:
    keys = Service("shop").api_keys(prefix="shop", scopes=("read",))
    with pytest.raises(DeclarationError, match="write"):
        keys.required("write")
    assert keys.pattern == r"\bshop_[0-9A-Za-z]{8}_[0-9A-Za-z]{30}\b"
