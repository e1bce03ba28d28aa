"""API keys as text: strictly read, told from mistakes, and found by scanners."""

from __future__ import annotations

import re
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.security import key
from roadworthy.security.key import ALPHABET, checksum, id_of, make, parse, prefix_of, scanner_pattern

PREFIXES = st.from_regex(key.PREFIX, fullmatch=True)


@given(PREFIXES)
def test_a_key_is_read_back(prefix: str) -> None:
    made = make(prefix)
    read = parse(made.text, prefix)
    assert read is not None
    assert (read.id, read.digest) == (made.id, made.digest)
    assert prefix_of(made.id) == prefix
    assert id_of(made.text) == id_of(made.id) == made.id
    assert re.fullmatch(scanner_pattern(prefix), made.text)


@given(PREFIXES, st.data())
def test_a_key_with_one_character_changed_is_none(prefix: str, data: st.DataObject) -> None:
    text = make(prefix).text
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda character: character != text[place]))
    assert parse(text[:place] + other + text[place + 1 :], prefix) is None


@given(st.text(), PREFIXES)
def test_no_text_breaks_the_reading(text: str, prefix: str) -> None:
    assert parse(text, prefix) is None
    assert parse(f"{prefix}_{text}", prefix) is None
    assert id_of(f"{text} ") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.upper(),
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text.replace("_", "-"),
        lambda text: text.replace("shop_", "shopp_"),
        lambda text: text[:13] + "\u0661" + text[14:],
    ],
)
def test_what_is_nearly_a_key_is_none(change: object) -> None:
    text = make("shop").text
    assert callable(change)
    assert parse(change(text), "shop") is None


def test_keys_of_prefixes_that_begin_alike_are_told_apart() -> None:
    longer = make("shop_live").text
    assert parse(longer, "shop") is None
    assert parse(longer, "shop_live") is not None
    assert prefix_of(make("shop_live").id) == "shop_live"


def test_the_secret_has_more_than_128_random_bits() -> None:
    drawn = count()

    def random(below: int) -> int:
        next(drawn)
        assert below == len(ALPHABET) == 62
        return 0

    made = make("shop", random)
    assert made.text == "shop_00000000_" + "0" * 24 + checksum("shop_00000000_" + "0" * 24)
    assert next(drawn) == 8 + 24
    assert 62**24 > 2**128


def test_every_character_of_the_alphabet_is_drawn() -> None:
    assert set("".join(make("ab").text[3:11] + make("ab").text[12:36] for _ in range(300))) == set(ALPHABET)


def test_the_checksum_is_the_crc_32_in_base_62() -> None:
    assert checksum("123456789") == "3jZRME"  # 0xCBF43926, the check value of CRC-32/ISO-HDLC
    number = 0
    for character in checksum("123456789"):
        number = number * 62 + ALPHABET.index(character)
    assert number == 0xCBF43926


def test_a_new_key_does_not_show_its_secret() -> None:
    made = make("shop")
    assert made.text not in repr(made)
    assert made.text[14:] not in repr(made)
