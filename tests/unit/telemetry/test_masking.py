from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.security.key import make
from roadworthy.telemetry.masking import MASK, is_secret, mask, mask_urls


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "DB_PASSWORD",
        "apiKey",
        "api_key",
        "Authorization",
        "set-cookie",
        "access_token",
        "clientSecret",
        "signing_key",
    ],
)
def test_telling_names(name: str) -> None:
    assert is_secret(name)
    assert mask(name, "hunter2") == MASK
    assert mask(name, ["hunter2"]) == MASK


@pytest.mark.parametrize("name", ["url", "path", "key", "user", "attempt"])
def test_plain_names(name: str) -> None:
    assert mask(name, "value") == "value"


@pytest.mark.parametrize("value", [None, True, 17, 0.5])
def test_numbers_are_no_secrets(value: object) -> None:
    assert mask("tokens", value) is value


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://app:hunter2@db:5432/x", f"postgresql://app:{MASK}@db:5432/x"),
        ("at redis://:hunter2@cache and http://u:p@h.", f"at redis://:{MASK}@cache and http://u:{MASK}@h."),
        ("https://example.org/a:b@c", "https://example.org/a:b@c"),
        ("no url: a@b", "no url: a@b"),
    ],
)
def test_passwords_in_urls(text: str, masked: str) -> None:
    assert mask_urls(text) == masked
    assert mask("url", text) == masked


def test_nested_values_are_masked_in_a_copy() -> None:
    given_ = {"headers": {"authorization": "Bearer x", "accept": "*/*"}, "hosts": ["http://u:p@h"]}
    assert mask("request", given_) == {
        "headers": {"authorization": MASK, "accept": "*/*"},
        "hosts": [f"http://u:{MASK}@h"],
    }
    assert given_["headers"]["authorization"] == "Bearer x"  # type: ignore[call-overload]


def test_a_value_inside_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    mask("loop", loop)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_masking_never_raises(value: object) -> None:
    mask("anything", value)


@given(st.from_regex(r"[a-zA-Z0-9!$%^&*()_+=-]{1,20}", fullmatch=True))
def test_no_password_of_a_url_survives(password: str) -> None:
    assert mask_urls(f"postgresql://user:{password}@host/db") == f"postgresql://user:{MASK}@host/db"


def test_an_api_key_is_masked_wherever_it_stands_but_for_its_id() -> None:
    for prefix in ("ab", "shop", "shop_live", "a" + "b" * 30):
        key = make(prefix)
        for text in (key.text, f"GET /x?key={key.text}&a=1", f'{{"key": "{key.text}"}}', f"Bearer {key.text}."):
            shown = mask("event", {"text": [text]})["text"][0]
            assert key.text not in shown
            assert f"{key.id}_***" in shown
    assert mask("event", "x" * 100_000) == "x" * 100_000
    assert mask("event", "a_" * 50_000) == "a_" * 50_000
