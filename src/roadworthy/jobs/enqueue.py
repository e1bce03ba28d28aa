"""From a declared job and its arguments to what an engine is given."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from roadworthy.jobs.engine import PLAIN, JobOptions, NewJob
from roadworthy.jobs.spec import LONGEST, JobSpec
from roadworthy.telemetry.logging import CONTEXT

_TRAVELS = ("request_id", "trace_id")
_LAST_YEAR = 9000


def new_job(
    spec: JobSpec,
    bound: dict[str, Any],
    *,
    priority: int | None = None,
    delay: timedelta | None = None,
    run_at: datetime | None = None,
    fire_time: datetime | None = None,
) -> NewJob:
    """Return the job of `spec` with the arguments that `spec.arguments.bind` returned.

    The ids of the request that is being answered go with it into its log lines. A `priority` of None is the declared
    one. `fire_time` is when its schedule was due. Raise ValueError for a priority, delay or time that cannot be kept.
    """
    if priority is not None and not -32768 <= priority <= 32767:
        raise ValueError(f"priority={priority} does not fit in -32768..32767; pass one that does")
    if delay is not None and delay > LONGEST:
        raise ValueError(f"delay={delay} is more than {LONGEST.days} days; pass a shorter one")
    if run_at is not None and run_at.year > _LAST_YEAR:
        raise ValueError(f"run_at={run_at.isoformat()} is after the year {_LAST_YEAR}; pass an earlier time")
    context = CONTEXT.get({})
    return NewJob(
        queue=spec.queue,
        job=spec.name,
        arguments=spec.arguments.encode(bound),
        attempts=spec.attempts,
        priority=spec.priority if priority is None else priority,
        unique_key=None if spec.unique is None else spec.unique.of(bound),
        delay=delay,
        run_at=run_at,
        context={name: str(context[name]) for name in _TRAVELS if name in context} or None,
        options=PLAIN if fire_time is None else JobOptions(fire_time=fire_time),
    )
