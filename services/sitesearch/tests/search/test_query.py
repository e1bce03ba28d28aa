"""What a person types becomes terms, and terms a tsquery that nothing can break out of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitesearch.search.query import LONGEST_QUERY, MOST_TERMS, Term, compile_query, parse, replace_words, squeezed


def lexemes(text: str) -> dict[str, tuple[str, ...]]:
    return {word: (word,) for word in parse(text).words}


def test_words_are_wanted_and_the_last_may_be_a_beginning() -> None:
    query = parse("  Asyncio   gath")
    assert query.text == "Asyncio gath"
    assert query.wanted == ("asyncio", "gath")
    assert query.last_word == "gath"


@pytest.mark.parametrize("text", ['"list comp"', "list -comp", "gather()", "", "   ", "..."])
def test_a_last_word_that_is_closed_is_no_beginning(text: str) -> None:
    assert parse(text).last_word is None


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("asyncio.gather", Term(("asyncio", "gather"), "asyncio.gather")),
        ("zip_longest", Term(("zip", "longest"), "zip_longest")),
        ("itertools.zip_longest()", Term(("itertools", "zip", "longest"), "itertools.zip_longest")),
        ("__init__", Term(("init",), "__init__")),
        ("well-known", Term(("well", "known"))),
        ('"side by side"', Term(("side", "by", "side"), quoted=True)),
        ("-without", Term(("without",), excluded=True)),
        ("3.11", Term(("3", "11"))),
    ],
)
def test_terms(text: str, term: Term) -> None:
    assert parse(text).terms == (term,)


def test_only_so_much_of_a_query_counts() -> None:
    assert len(parse("word " * 100).terms) == MOST_TERMS
    assert len(parse("x" * 1000).text) == LONGEST_QUERY


@pytest.mark.parametrize(
    ("text", "compiled"),
    [
        ("one two", "('one' & 'two')"),
        ('"one two"', "(('one' <-> 'two'))"),
        ("one -two", "('one') & !('two')"),
        ("asyncio.gather", "(('asyncio.gather' | ('asyncio' <-> 'gather')))"),
    ],
)
def test_compiled(text: str, compiled: str) -> None:
    assert compile_query(parse(text), lexemes(text)).replace("<1>", "<->") == compiled


def test_a_stop_word_in_a_phrase_leaves_its_gap() -> None:
    assert compile_query(parse('"made of leaves"'), {"made": ("made",), "leaves": ("leav",)}) == "(('made' <2> 'leav'))"


def test_nothing_wanted_is_no_query() -> None:
    assert compile_query(parse("-one"), lexemes("-one")) == ""
    assert compile_query(parse("the"), {}) == ""


def test_alternatives_and_beginnings() -> None:
    query = parse("gath")
    assert compile_query(query, {"gath": ("gather", "gatherer")}, prefix=True) == "(('gather' | 'gatherer'))"
    assert compile_query(query, {"gath": ("gath",)}, prefix=True) == "(('gath' | 'gath':*))"


def test_any_term_will_do() -> None:
    assert compile_query(parse("one two -three"), lexemes("one two three"), any_term=True) == (
        "('one' | 'two') & !('three')"
    )


def test_corrections_keep_everything_else_as_it_was_typed() -> None:
    assert replace_words(parse('Lst "of lst" -rst'), {"lst": "list"}) == 'list "of list" -rst'


@given(st.text(max_size=300))
def test_no_text_escapes_its_quotes(text: str) -> None:
    query = parse(text)
    compiled = compile_query(query, {word: (f"{word}'\\",) for word in query.words}, prefix=True)
    outside = compiled.replace("\\\\", "").replace("''", "").split("'")[::2]
    assert set("".join(outside)) <= set("()|&!<->:* 0123456789")


@given(st.text(alphabet=st.sampled_from('ab "-_.\x00\t\u00a0\u2028é'), max_size=LONGEST_QUERY + 20))
def test_all_spellings_of_a_query_are_one_text_that_asks_for_the_same(text: str) -> None:
    short = squeezed(text)
    assert parse(short) == parse(text)
    assert squeezed(short) == short
    assert len(short) <= LONGEST_QUERY


def test_a_word_that_is_done_is_another_query_than_one_that_goes_on() -> None:
    assert squeezed("  list \t comp\n") == "list comp "
    assert squeezed(" list  comp") == "list comp"
    assert squeezed(" \x00 ") == ""
