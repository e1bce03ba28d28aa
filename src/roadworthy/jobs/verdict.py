"""What an attempt is given, and what becomes of it; said in the log as well, where it did not succeed."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import msgspec

from roadworthy.errors import BreakerOpen, EncryptionKeyMissing, RateLimited, RoadworthyError
from roadworthy.jobs.control import GiveUp, Snooze
from roadworthy.jobs.engine import PLAIN, Bury, ClaimedJob, Done, Failure, Outcome, Postpone, Retry
from roadworthy.jobs.failure import failure_of
from roadworthy.jobs.retry import delay_after
from roadworthy.jobs.sealing import Keys, needed, opened, sealed
from roadworthy.jobs.spec import Backoff, JobSpec
from roadworthy.telemetry.logging import get_logger

log = get_logger(__name__)

_ELSEWHERE = timedelta(seconds=15)
_MOST_ELSEWHERE = 240
"""An hour of rolling out."""
_SPREAD = 4
_PROBED = 1
"""Seconds in which others find out whether the breaker may close."""


class NewerArguments(RoadworthyError):
    """A job's arguments are of a version that this process does not know."""


def arguments_of(job: ClaimedJob, spec: JobSpec, keys: Keys | None) -> dict[str, Any]:
    """Return the arguments of `job` as its function now takes them.

    Raises:
        NewerArguments: they are of a later version than this process has.
        EncryptionKeyMissing: they are encrypted, and the key is not here.
        InvalidArguments: the function does not take them.
    """
    kept = opened(job.arguments, job.options, job.job, keys)
    version = job.options.version
    if version > spec.version:
        raise NewerArguments(
            f"job {job.job!r} was enqueued with arguments of version {version}, and this process knows {spec.version}; "
            "deploy the newer one everywhere"
        )
    if version < spec.version and spec.upgrade is not None:
        kept = msgspec.json.encode(spec.upgrade(version, msgspec.json.decode(kept)))
    return spec.arguments.decode(kept)


def success(job: ClaimedJob, spec: JobSpec, value: Any, keys: Keys | None) -> Done:
    """Return the end of an attempt that returned `value`; raise InvalidResult where it is kept, but not as declared."""
    options = job.options
    if options.keep is None:
        plain = options is PLAIN or (options.workflow is None and options.unique_while != "unresolved")
        return Done(job.id, job.lease, plain=plain)
    result = spec.returns.encode(value)
    return Done(job.id, job.lease, needed(keys, job.job).seal(job.job, result) if options.encrypted else result)


def _wanted(error: BaseException, jitter: float) -> timedelta | None:
    """Return after how long the job wants to run again without having failed; None where it has failed."""
    if isinstance(error, Snooze):
        return error.delay
    if isinstance(error, RateLimited) and math.isfinite(error.retry_after):
        # Spread a little, so that those that were denied together do not all come back together.
        return timedelta(seconds=error.retry_after * (1 + jitter / _SPREAD))
    if isinstance(error, BreakerOpen) and error.retry_after is not None:
        # An attempt would be wasted, for nothing was tried. A breaker lets few calls through at first.
        return timedelta(seconds=_PROBED + error.retry_after * (1 + jitter / _SPREAD))
    return None


def verdict(job: ClaimedJob, error: BaseException, backoff: Backoff, jitter: float, keys: Keys | None) -> Outcome:
    """Return what becomes of `job`, whose attempt raised `error`.

    One that a rate limit denied comes again when that admits it, one that met an open breaker when that may close. One
    that this process cannot run, because it lacks a newer version or a key, is left to others for an hour: while a
    version is rolled out, there are some that can. `jitter` is a random number from 0 up to 1.
    """
    if (wanted := _wanted(error, jitter)) is not None:
        log.info("job snoozed", again_in_seconds=round(wanted.total_seconds(), 2), snoozes=job.options.snoozes + 1)
        return Postpone(job.id, job.lease, wanted)
    if isinstance(error, NewerArguments | EncryptionKeyMissing) and job.options.snoozes < _MOST_ELSEWHERE:
        log.error("job left to another process", error=str(error), again_in_seconds=_ELSEWHERE.total_seconds())
        return Postpone(job.id, job.lease, _ELSEWHERE)
    failure = failure_of(error)
    if job.options.encrypted:
        failure = _secret(job, failure, keys)
    if job.attempt >= job.attempts or isinstance(error, GiveUp):
        log.error(
            "job failed for the last time",
            error_class=failure.error_class,
            error=failure.message,
            traceback="" if job.options.encrypted else failure.traceback,
        )
        return Bury(job.id, job.lease, failure)
    delay = delay_after(backoff, job.attempt, jitter)
    log.warning(
        "job failed",
        error_class=failure.error_class,
        error=failure.message,
        again_in_seconds=round(delay.total_seconds(), 2),
    )
    return Retry(job.id, job.lease, delay, failure)


def _secret(job: ClaimedJob, failure: Failure, keys: Keys | None) -> Failure:
    if keys is None:
        # Nothing was decrypted, so nothing can have been told.
        return failure
    return sealed(failure, keys, job.job)
