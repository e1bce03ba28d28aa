from __future__ import annotations

import math
from datetime import timedelta

import pytest

from roadworthy.errors import RateLimited
from roadworthy.jobs.engine import Bury, ClaimedJob, Postpone
from roadworthy.jobs.spec import Backoff
from roadworthy.jobs.verdict import verdict
from roadworthy.limits.decision import Decision
from roadworthy.limits.quota import Quota

JOB = ClaimedJob(7, 1, "mail", "send", b"{}", attempt=5, attempts=5, waited=0.0)


def limited(retry_after: float) -> RateLimited:
    return RateLimited(Decision(False, "mail", Quota.parse("1/minute"), 0, 0, retry_after, 60.0, "memory"))


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_a_job_that_a_limit_denied_comes_again_when_that_admits_it(jitter: float) -> None:
    outcome = verdict(JOB, limited(20.0), Backoff(), jitter, None)
    assert isinstance(outcome, Postpone)
    assert timedelta(seconds=20) <= outcome.delay <= timedelta(seconds=25)


def test_a_job_that_a_limit_never_admits_has_failed() -> None:
    assert isinstance(verdict(JOB, limited(math.inf), Backoff(), 0.0, None), Bury)
