"""What can be enqueued, and what is refused before it could spoil a queue or end a worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from roadworthy.errors import DeclarationError, InvalidArguments
from roadworthy.jobs.arguments import LARGEST, Arguments
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.spec import LONGEST, Backoff, JobSpec, QueueSpec

DAY = timedelta(days=1)


async def note(text: str = "") -> None:
    """Take a text."""


SPEC = JobSpec("note", "work", note, Arguments.of(note), priority=7)


def test_options_override_what_was_declared() -> None:
    assert new_job(SPEC, {"text": "a"}).priority == 7
    assert new_job(SPEC, {"text": "a"}, priority=-32768).priority == -32768


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"priority": 32768}, "priority=32768"),
        ({"priority": -32769}, "priority=-32769"),
        ({"delay": timedelta.max}, "delay="),
        ({"run_at": datetime.max.replace(tzinfo=UTC)}, "9999"),
    ],
)
def test_what_the_database_could_not_keep_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match="pass") as refused:
        new_job(SPEC, {"text": "a"}, **options)
    assert named in str(refused.value)


def test_arguments_too_large_to_take_ahead_are_refused() -> None:
    assert new_job(SPEC, {"text": "x" * (LARGEST - 100)}).arguments
    with pytest.raises(InvalidArguments, match="pass its id"):
        new_job(SPEC, SPEC.arguments.bind("x" * LARGEST))


def test_durations_at_the_end_of_the_calendar_are_refused() -> None:
    with pytest.raises(DeclarationError, match="at most 3650 days"):
        Backoff(longest=LONGEST + DAY)
    with pytest.raises(DeclarationError, match="at most 3650 days"):
        QueueSpec("work", lease=LONGEST + DAY)
    for option in ("timeout", "every"):
        with pytest.raises(DeclarationError, match="at most 3650 days"):
            JobSpec("note", "work", note, Arguments.of(note), **{option: LONGEST + DAY})  # type: ignore[arg-type]


def test_a_repeating_job_whose_defaults_do_not_fit_is_refused_when_declared() -> None:
    async def odd(depth: int = "deep") -> None:  # type: ignore[assignment]
        """Have a default that is none."""

    with pytest.raises(DeclarationError, match="its defaults"):
        JobSpec("odd", "work", odd, Arguments.of(odd), every=DAY)
