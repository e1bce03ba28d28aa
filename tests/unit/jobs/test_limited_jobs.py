"""A job that meets a rate limit comes again when that admits it: nothing has failed, and no attempt is used up."""

from __future__ import annotations

import math
from datetime import timedelta

from roadworthy.errors import RateLimited
from roadworthy.jobs.current import current_job
from roadworthy.limits.decision import Decision
from roadworthy.limits.quota import Quota

from .stage import spec_of, working

HOUR = timedelta(hours=1)


def limited(retry_after: float) -> RateLimited:
    return RateLimited(Decision(False, "mails", Quota.parse("1/second"), 0, 0, retry_after, 1.0, "memory"))


async def test_a_job_that_meets_a_limit_comes_again_and_is_never_buried() -> None:
    attempts: list[int] = []

    async def mail() -> None:
        job = current_job()
        assert job is not None
        attempts.append(job.attempt)
        if len(attempts) < 6:
            raise limited(0.01)

    async with working(spec_of(mail)) as stage:
        await stage.enqueue("mail", attempts=1)
        await stage.emptied()
    assert attempts == [1] * 6
    assert stage.count("mail", "snoozed") == 5
    assert stage.count("mail", "succeeded") == 1
    assert stage.count("mail", "retried") == stage.count("mail", "dead") == 0


async def test_it_waits_for_as_long_as_the_limit_says() -> None:
    async def mail() -> None:
        raise limited(HOUR.total_seconds())

    async with working(spec_of(mail)) as stage:
        before = await stage.engine.now()
        await stage.enqueue("mail", attempts=1)
        await stage.came_to("scheduled")
        (record,) = await stage.engine.operations.jobs()
    assert before + HOUR <= record.run_at <= await stage.engine.now() + 1.5 * HOUR
    assert record.attempt == 0


async def test_what_a_limit_never_admits_fails_as_anything_else() -> None:
    async def mail() -> None:
        raise limited(math.inf)

    async with working(spec_of(mail)) as stage:
        await stage.enqueue("mail", attempts=1)
        await stage.came_to("dead")
        assert (await stage.failure())["error_class"] == "roadworthy.errors.RateLimited"
    assert stage.count("mail", "snoozed") == 0
