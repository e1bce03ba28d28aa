"""What the driver shows of a DSN."""

from __future__ import annotations

import logging

import pytest

from roadworthy.database import administration, driver


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://me:secret@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me:a:b@host:5432/name", "postgresql://me:***@host:5432/name"),
        ("postgresql://me:p@ss@w/ord@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me@/name?host=/run", "postgresql://me@/name?host=/run"),
        ("postgresql://host/name?password=secret&user=me", "postgresql://host/name?password=***&user=me"),
        ("redis://:secret@host", "redis://:***@host"),
    ],
)
def test_a_password_is_masked(dsn: str, shown: str) -> None:
    assert driver.masked(dsn) == shown


def test_an_error_without_text_still_says_something() -> None:
    assert "no answer in time" in str(driver.unavailable("postgresql:///x", TimeoutError()))
    assert "EOFError" in str(driver.unavailable("postgresql:///x", EOFError()))


def test_the_pool_says_in_a_line_a_minute_that_it_cannot_connect() -> None:
    calm = driver._Calm()

    def record(at: float, error: Exception | None) -> logging.LogRecord:
        failure = None if error is None else (type(error), error, None)
        made = logging.LogRecord("asyncpg.pool", logging.WARNING, "", 0, "retrying", (), failure)
        made.created = at
        return made

    shown = [one for at in (100, 101, 159, 160) if calm.filter(one := record(at, OSError("refused")))]
    assert [one.getMessage() for one in shown] == ["retrying: refused"] * 2
    assert [one.exc_info for one in shown] == [None, None]
    assert calm.filter(record(161, None))


def test_identifiers_are_quoted() -> None:
    assert administration.quoted('a"b') == '"a""b"'


def test_a_database_is_named_in_its_dsn() -> None:
    assert administration.name_in("postgresql://me@/a%20b?host=/run") == "a b"
