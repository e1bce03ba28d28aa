"""Splitting SQL as PostgreSQL and psql do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.database.statements import split


def texts(sql: str) -> list[str]:
    return [statement.sql for statement in split(sql)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "SELECT ';', 'it''s;', E'\\';', U&'d\\0061;'",
        'SELECT 1 AS "a;""b"',
        "DO $$ BEGIN PERFORM 1; END $$",
        "DO $body$ SELECT $$;$$; $body$",
        "SELECT $1; -- not a dollar quote".removesuffix("; -- not a dollar quote"),
        "SELECT a$b$c, 1e5",
        "SELECT /* ; /* nested; */ ; */ 1",
        "SELECT 1 -- ; no end\n + 1",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END",
        "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC DELETE FROM t; END",
        "SELECT 'ünï;', \"ö;\", ñandú",
        "SELECT (1))",
    ],
)
def test_a_statement_stays_whole(statement: str) -> None:
    assert texts(f"{statement};\nSELECT 'next'; ") == [statement, "SELECT 'next'"]


@pytest.mark.parametrize("sql", ["", "  \n", ";;", "-- nothing\n", "/* nothing */ ; -- at all"])
def test_comments_alone_are_no_statement(sql: str) -> None:
    assert texts(sql) == []


@pytest.mark.parametrize("sql", ["SELECT $a$ ; open", "SELECT /* ; open", "SELECT 'open ; "])
def test_what_is_never_closed_reaches_to_the_end(sql: str) -> None:
    assert "".join(texts(sql)).startswith("SELECT")


def test_words_are_known_outside_quotes_and_comments() -> None:
    (statement,) = split("-- drop\ncreate Index concurrently \"drop\" on t (a) where b = 'drop'")
    assert statement.words == ("CREATE", "INDEX", "CONCURRENTLY", "ON", "T", "A", "WHERE", "B")


@given(st.text(alphabet="ab;'\"$/*-\n ()E\\", max_size=60))
def test_any_text_is_split_without_losing_more_than_semicolons(sql: str) -> None:
    kept = "".join(texts(sql))
    assert len(kept) <= len(sql)
    assert all(piece in sql for piece in texts(sql))
