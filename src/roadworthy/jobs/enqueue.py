"""From a declared job and its arguments to what an engine is given."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from roadworthy.jobs.engine import PLAIN, JobOptions, NewJob
from roadworthy.jobs.sealing import Keys, needed
from roadworthy.jobs.spec import LONGEST, JobSpec
from roadworthy.jobs.tracing import TRACEPARENT, enqueued_by
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
    keys: Keys | None = None,
) -> NewJob:
    """Return the job of `spec` with the arguments that `spec.arguments.bind` returned.

    The ids of the request that is being answered go with it into its log lines. A `priority` of None is the declared
    one. `fire_time` is when its schedule was due, `keys` are for encrypted jobs. Raise ValueError for a priority, delay
    or time that cannot be kept, EncryptionKeyMissing for an encrypted job without keys.
    """
    if priority is not None and not -32768 <= priority <= 32767:
        raise ValueError(f"priority={priority} does not fit in -32768..32767; pass one that does")
    if delay is not None and delay > LONGEST:
        raise ValueError(f"delay={delay} is more than {LONGEST.days} days; pass a shorter one")
    if run_at is not None and run_at.year > _LAST_YEAR:
        raise ValueError(f"run_at={run_at.isoformat()} is after the year {_LAST_YEAR}; pass an earlier time")
    context = CONTEXT.get({})
    travelling = {name: str(context[name]) for name in _TRAVELS if name in context}
    if (parent := enqueued_by()) is not None:
        travelling[TRACEPARENT] = parent
    arguments = spec.arguments.encode(bound)
    unique_key = None if spec.unique is None else spec.unique.of(bound)
    limit_keys = {key.template: key.of(bound) for key in spec.limit_keys}
    if spec.encrypted:
        hidden = needed(keys, spec.name)
        arguments = hidden.seal(spec.name, arguments)
        unique_key = None if unique_key is None else hidden.digest(f"{spec.name}\0{unique_key}")
        limit_keys = {template: hidden.digest(key) for template, key in limit_keys.items()}
    return NewJob(
        queue=spec.queue,
        job=spec.name,
        arguments=arguments,
        attempts=spec.attempts,
        priority=spec.priority if priority is None else priority,
        unique_key=unique_key,
        delay=delay,
        run_at=run_at,
        context=travelling or None,
        options=_options(spec, fire_time, limit_keys),
    )


def _options(spec: JobSpec, fire_time: datetime | None, limit_keys: dict[str, str]) -> JobOptions:
    options = JobOptions(
        version=spec.version,
        keep=None if spec.keep is None else spec.keep.total_seconds(),
        limit_keys=limit_keys,
        fire_time=fire_time,
        unique_while=spec.unique_while,
        unique_for=None if spec.unique_for is None else spec.unique_for.total_seconds(),
        encrypted=spec.encrypted,
    )
    return PLAIN if options == PLAIN else options
