"""What a kept job may return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from roadworthy.errors import DeclarationError, InvalidResult
from roadworthy.jobs.results import LARGEST, ResultType


@dataclass
class Page:
    url: str
    at: datetime


async def page() -> Page: ...


def anything():  # type: ignore[no-untyped-def]
    ...


def nothing() -> None: ...


def stream() -> list[int] | set[int]: ...


def test_a_result_comes_back_as_its_type() -> None:
    returns = ResultType.of(page)
    value = Page("https://example.org/", datetime(2030, 1, 1, tzinfo=UTC))
    assert returns.decode(returns.encode(value)) == value


def test_without_annotation_whatever_json_carries_is_kept() -> None:
    returns = ResultType.of(anything)
    assert returns.decode(returns.encode({"a": [1, None]})) == {"a": [1, None]}
    assert ResultType.of(nothing).decode(b"null") is None


@pytest.mark.parametrize("value", [1, {"url": "a"}, object()])
def test_something_else_is_refused(value: Any) -> None:
    with pytest.raises(InvalidResult, match="'page' is kept and returns"):
        ResultType.of(page).encode(value)


def test_what_no_longer_fits_says_so() -> None:
    with pytest.raises(InvalidResult, match="does not fit"):
        ResultType.of(page).decode(b'{"title":"a"}')


def test_a_result_may_not_be_larger_than_a_row_should_be() -> None:
    with pytest.raises(InvalidResult, match="keep what is large elsewhere"):
        ResultType.of(anything).encode("x" * LARGEST)


def test_a_type_that_json_cannot_carry_is_refused_when_declared() -> None:
    with pytest.raises(DeclarationError, match="'stream' is kept"):
        ResultType.of(stream)
