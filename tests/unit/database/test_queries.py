"""Named SQL from files."""

from __future__ import annotations

import pytest

from roadworthy.database import queries
from roadworthy.errors import DeclarationError

TEXT = """-- What this file is for.

-- name: first
-- Its reason.
SELECT 1;

--name:second
SELECT 2
"""


def test_statements_are_found_by_name() -> None:
    found = queries.parse(TEXT, "here.sql")
    assert dict(found) == {"first": "-- Its reason.\nSELECT 1;", "second": "SELECT 2"}
    assert len(found) == 2
    assert "first" in found
    assert "third" not in found


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DeclarationError, match=r"here\.sql has no statement 'third'; it has: first, second"):
        queries.parse(TEXT, "here.sql")["third"]
    with pytest.raises(DeclarationError, match="it has: none"):
        queries.parse("", "here.sql")["third"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1;", "SQL before its first name"),
        ("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;", "two statements 'one'"),
        ("-- name: One\nSELECT 1;", "must match"),
        ("-- name:\nSELECT 1;", "must match"),
        ("-- name: one\n-- only talk\n", "no SQL under the name 'one'"),
    ],
)
def test_a_malformed_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        queries.parse(text, "here.sql")


def test_a_package_file_is_read_once() -> None:
    found = queries.load_queries("roadworthy.database")
    assert found is queries.load_queries("roadworthy.database")
    assert "create_history" in found


@pytest.mark.parametrize(
    ("package", "file"), [("roadworthy.database", "none.sql"), ("roadworthy.nowhere", "queries.sql")]
)
def test_a_missing_file_is_named(package: str, file: str) -> None:
    with pytest.raises(DeclarationError, match=f"{package.replace('.', '/')}/{file} does not exist"):
        queries.load_queries(package, file)
