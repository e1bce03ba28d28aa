"""What is kept of an exception."""

from __future__ import annotations

import pytest

from roadworthy.jobs.failure import failure_of


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_class_message_and_traceback_are_kept() -> None:
    failure = failure_of(raised(ValueError("no")))
    assert (failure.error_class, failure.message) == ("ValueError", "no")
    assert "in raised" in failure.traceback


def test_what_cannot_be_stored_is_escaped() -> None:
    assert failure_of(ValueError("a\0b\ud800")).message == "a\\0b\\ud800"


def test_long_texts_keep_their_ends() -> None:
    failure = failure_of(raised(ValueError("x" * 50_000 + "end")))
    assert len(failure.message) < 2_100
    assert len(failure.traceback) < 16_100
    assert failure.message.endswith("end")
    assert "characters left out" in failure.message


def test_an_exception_that_cannot_be_shown_is_kept_nonetheless() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    failure = failure_of(raised(Mute()))
    assert failure.error_class.endswith("Mute")
    assert "cannot be shown: RuntimeError" in failure.message
