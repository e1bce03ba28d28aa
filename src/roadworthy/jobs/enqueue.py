"""From a declared job and its arguments to what an engine is given."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.spec import JobSpec
from roadworthy.telemetry.logging import CONTEXT

_TRAVELS = ("request_id", "trace_id")


def new_job(
    spec: JobSpec,
    bound: dict[str, Any],
    *,
    priority: int | None = None,
    delay: timedelta | None = None,
    run_at: datetime | None = None,
) -> NewJob:
    """Return the job of `spec` with the arguments that `spec.arguments.bind` returned.

    The ids of the request that is being answered go with it into its log lines. A `priority` of None is the declared
    one.
    """
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
    )
