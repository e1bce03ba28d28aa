from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.emit.yaml import Value, document

_texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"), max_size=30)
_plain = st.one_of(st.none(), st.booleans(), st.integers(-(10**9), 10**9), _texts)
_values = st.recursive(
    _plain,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_texts, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(_texts, _values, max_size=4))
def test_what_is_written_is_what_is_read(value: dict[str, Value]) -> None:
    assert yaml.safe_load(document(value)) == (value or None)


@pytest.mark.parametrize(
    "text", ["no", "1e3", "12", "0x1", "~", "a: b", "- a", "5m", "1d", "null", " a", "a ", "a\n b\n\nc"]
)
def test_text_stays_text(text: str) -> None:
    assert yaml.safe_load(document({"key": text})) == {"key": text}


def test_a_reader_sees_plain_words_unquoted() -> None:
    assert document({"alert": "Late", "for": "5m", "expr": 'a{b="c"} > 1'}, "mine") == (
        "# mine\nalert: Late\nfor: 5m\nexpr: 'a{b=\"c\"} > 1'\n"
    )
