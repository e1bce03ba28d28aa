"""What becomes of a job whose attempt raised."""

from __future__ import annotations

from datetime import timedelta

import pytest

from roadworthy.errors import BreakerOpen, BulkheadFull, DeadlineExceeded
from roadworthy.jobs.engine import ClaimedJob, Postpone, Retry
from roadworthy.jobs.spec import Backoff
from roadworthy.jobs.verdict import verdict

JOB = ClaimedJob(1, 7, "work", "a", b"{}", 1, 3, 0.0)


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 9), (0.5, 10)])
def test_one_that_met_an_open_breaker_comes_back_when_it_may_be_closed(jitter: float, seconds: float) -> None:
    outcome = verdict(JOB, BreakerOpen("open", "geocoder", 8.0), Backoff(), jitter, None)
    assert outcome == Postpone(1, 7, timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "error", [BreakerOpen("forced open", "geocoder"), BulkheadFull("full"), DeadlineExceeded("late"), KeyError("a")]
)
def test_any_other_failure_uses_an_attempt_up(error: Exception) -> None:
    outcome = verdict(JOB, error, Backoff(), 0.5, None)
    assert isinstance(outcome, Retry)
