from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy import DeclarationError
from roadworthy.duration import minutes
from roadworthy.edge.spec import EdgeSpec, shared
from roadworthy.edge.tags import CDNS, canonical_tag, edge_tags, header_value, rendered, united

POLICY = shared(edge=minutes(1))


@given(st.text(max_size=50))
def test_a_tag_has_one_spelling_that_every_header_can_carry(text: str) -> None:
    tag = canonical_tag(text)
    assert canonical_tag(tag) == tag
    assert canonical_tag(text.upper()) == canonical_tag(text.upper().lower())
    assert all("!" <= letter <= "~" and letter not in ',"\\' and not letter.isupper() for letter in tag)


@pytest.mark.parametrize(
    ("text", "tag"),
    [("Page:7", "page:7"), ("a, b", "a%2c%20b"), ("straße", "stra%c3%9fe"), ("a%20b", "a%20b"), ('"', "%22")],
)
def test_spellings(text: str, tag: str) -> None:
    assert canonical_tag(text) == tag


def test_a_template_without_all_its_values_gives_no_tag() -> None:
    values = {"site": "Shop", "page": ""}
    assert rendered("site:{site}", values.get) == "site:shop"
    assert rendered("all", values.get) == "all"
    assert rendered("{site}:{page}", values.get) is None
    assert rendered("{nobody}", values.get) is None


def test_a_value_cannot_name_another_parameter() -> None:
    assert rendered("{a}", {"a": "{b}", "b": "x"}.get) == "{b}"


@pytest.mark.parametrize("template", ["", " ", "a{", "a}b", "{}", "{1}", "{a b}", "x" * 257, "a\nb"])
def test_templates_that_are_none(template: str) -> None:
    with pytest.raises(DeclarationError, match=r"edge 'GET /a' has the tag"):
        EdgeSpec("GET /a", POLICY, (template,))


@pytest.mark.parametrize(
    ("cdn", "tags", "value"),
    [
        ("cloudflare", ("a", "b"), b"a,b"),
        ("cloudflare", ("x" * 1024,) * 15, ",".join(["x" * 1024] * 15).encode()),
        ("cloudflare", ("x" * 1024,) * 16, None),
        ("fastly", ("a", "b"), b"a b"),
        ("fastly", ("x" * 1024,), b"x" * 1024),
        ("fastly", ("x" * 1025,), None),
        ("fastly", ("x" * 1023,) * 16, " ".join(["x" * 1023] * 16).encode()),
        ("fastly", ("x" * 1023,) * 17, None),
        ("cloudfront", tuple(map(str, range(50))), ",".join(map(str, range(50))).encode()),
        ("cloudfront", tuple(map(str, range(51))), None),
        ("cloudfront", ("x" * 257,), None),
    ],
)
def test_what_does_not_fit_is_not_cut(cdn: str, tags: tuple[str, ...], value: bytes | None) -> None:
    form = CDNS[cdn]
    assert form is not None
    assert header_value(form, tags) == value


def test_tags_are_united_in_order() -> None:
    assert united(["B", "a", "", "b"]) == ("b", "a")


def test_adding_tags_outside_a_request_does_nothing() -> None:
    edge_tags("page:7")
