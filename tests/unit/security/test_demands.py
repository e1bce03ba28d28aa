"""Which requests ask for a key, whatever way their path is written, and what is said to those without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from roadworthy.errors import DatabaseUnavailable, KeyRefused
from roadworthy.security.demands import Demands, allowed
from roadworthy.security.keys_spec import ApiKeysSpec, guarded_of
from roadworthy.security.presented import ApiKey, Reason


def _spec(routes: Mapping[str, Any] | None = None, **changes: Any) -> ApiKeysSpec:
    return ApiKeysSpec("api", "shop", ("read", "write"), guarded_of(routes or {}), **changes)


def _scopes(routes: Mapping[str, Any], method: str, path: str) -> list[tuple[str, ...]]:
    demands = Demands([_spec(routes)])
    found = [demand.scopes for demand in demands.of(method, path)]
    assert [demand.scopes for demand in demands.of(method, path)] == found
    return found


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/x", "/api/x/y", "/api//x", "/api/\nx", "/api/%2e%2e"])
def test_a_star_is_everything_below(path: str) -> None:
    assert _scopes({"/api/*": "read"}, "GET", path) == [("read",)]


@pytest.mark.parametrize("path", ["/", "/apis", "/API/x", "/x/api/", "/api.json"])
def test_a_star_is_nothing_beside(path: str) -> None:
    assert _scopes({"/api/*": "read"}, "GET", path) == []


def test_a_star_alone_is_everything() -> None:
    assert _scopes({"/*": None}, "GET", "/") == [()]
    assert _scopes({"/*": None}, "DELETE", "/x/y") == [()]


def test_a_parameter_is_one_segment_and_a_path_any_number() -> None:
    routes = {"/items/{id}": "read", "/files/{rest:path}": "write"}
    assert _scopes(routes, "GET", "/items/7") == [("read",)]
    assert _scopes(routes, "GET", "/items/7/") == [("read",)]
    assert _scopes(routes, "GET", "/items/7/parts") == []
    assert _scopes(routes, "GET", "/files/a/b") == [("write",)]


def test_a_line_feed_at_the_end_is_no_way_around() -> None:
    for route in ("/items", "/items/*", "/items/{id}"):
        path = route.replace("/*", "").replace("{id}", "7")
        assert _scopes({route: "read"}, "GET", f"{path}\n") == [("read",)]
        assert _scopes({route: "read"}, "GET", f"{path}/\n") == [("read",)]


def test_characters_of_patterns_stand_for_themselves() -> None:
    assert _scopes({"/a.b/(c)": None}, "GET", "/a.b/(c)") == [()]
    assert _scopes({"/a.b/(c)": None}, "GET", "/axb/c") == []


def test_every_rule_that_matches_holds() -> None:
    routes = {"/api/*": "read", "POST /api/*": "write"}
    assert _scopes(routes, "GET", "/api/x") == [("read",)]
    assert _scopes(routes, "POST", "/api/x") == [("read",), ("write",)]


def test_a_head_is_asked_what_a_get_is() -> None:
    assert _scopes({"GET /api/*": "read"}, "HEAD", "/api/x") == [("read",)]
    assert _scopes({"GET /api/*": "read"}, "POST", "/api/x") == []


KEY = ApiKey("shop_00000000", "api", "test", "me", frozenset({"read"}))


def test_a_key_with_the_scopes_is_allowed() -> None:
    assert allowed(_spec(), KEY) is KEY
    assert allowed(_spec(), KEY, ("read",)) is KEY


def test_a_key_without_a_scope_is_told_which() -> None:
    with pytest.raises(KeyRefused, match="shop_00000000 lacks the scope write") as refused:
        allowed(_spec(), KEY, ("read", "write"))
    assert (refused.value.reason, refused.value.status) == ("forbidden", 403)
    assert refused.value.challenge == 'Bearer realm="api", error="insufficient_scope", scope="write"'


@pytest.mark.parametrize("reason", ["malformed", "unknown", "revoked", "expired"])
def test_a_key_that_is_none_is_an_invalid_token(reason: Reason) -> None:
    with pytest.raises(KeyRefused) as refused:
        allowed(_spec(), reason)
    assert (refused.value.reason, refused.value.status) == (reason, 401)
    assert refused.value.challenge == 'Bearer realm="api", error="invalid_token"'


def test_no_key_is_told_how_to_send_one() -> None:
    with pytest.raises(KeyRefused, match="Authorization: Bearer shop_") as refused:
        allowed(_spec(), None)
    assert (refused.value.status, refused.value.challenge) == (401, 'Bearer realm="api"')
    with pytest.raises(KeyRefused, match="X-API-Key: shop_") as refused:
        allowed(_spec(header="x-api-key", scheme=""), None)
    assert refused.value.challenge == 'ApiKey realm="api", header="x-api-key"'


def test_the_key_of_another_declaration_is_none() -> None:
    other = ApiKey("adm_00000000", "admin", "test", "me", frozenset({"read"}))
    with pytest.raises(KeyRefused) as refused:
        allowed(_spec(), other, ("read",))
    assert refused.value.status == 401


def test_a_key_of_which_nobody_can_say_anything_is_not_refused() -> None:
    with pytest.raises(DatabaseUnavailable):
        allowed(_spec(), "unavailable")


def test_paths_without_end_are_not_all_remembered() -> None:
    demands = Demands([_spec({"/api/*": "read"})])
    for number in range(3000):
        assert len(demands.of("GET", f"/api/{number}")) == 1
    assert len(demands._known) <= 1000
