"""What the driver shows of a DSN."""

from __future__ import annotations

import pytest

from roadworthy.database import administration, driver


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://me:secret@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me:a:b@host:5432/name", "postgresql://me:***@host:5432/name"),
        ("postgresql://me@/name?host=/run", "postgresql://me@/name?host=/run"),
        ("postgresql://host/name?password=secret&user=me", "postgresql://host/name?password=***&user=me"),
        ("redis://:secret@host", "redis://:***@host"),
    ],
)
def test_a_password_is_masked(dsn: str, shown: str) -> None:
    assert driver.masked(dsn) == shown


def test_an_error_without_text_still_says_something() -> None:
    assert "TimeoutError" in str(driver.unavailable("postgresql:///x", TimeoutError()))


def test_identifiers_are_quoted() -> None:
    assert administration.quoted('a"b') == '"a""b"'


def test_a_database_is_named_in_its_dsn() -> None:
    assert administration.name_in("postgresql://me@/a%20b?host=/run") == "a b"
