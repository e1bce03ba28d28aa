"""Every error that Roadworthy raises on purpose, in one tree.

    RoadworthyError
    ├── DeclarationError        a Service declares something that cannot work (also a ValueError)
    ├── NotRunning              a handle was used outside a running service
    ├── MissingExtra            an optional dependency is not installed
    ├── SettingError            an environment variable holds a value that breaks its rule
    ├── TargetError             a command names a service that cannot be imported
    ├── AlreadyRunning          another `roadworthy run` owns the data directory
    ├── DatabaseUnavailable     PostgreSQL could not be started or reached in time
    ├── MigrationError          a migration is missing, changed or failed; nothing of it was kept
    ├── TransactionEnded        a transaction's connection was used after it was over
    ├── InvalidArguments        a job was enqueued with arguments that its function does not take
    ├── LeaseLost               a job's effect was refused: the job is no longer this attempt's
    ├── JobProcessDied          the process that ran a job was killed, or ended by itself
    ├── WorkerStuck             no slot of a queue came free: its jobs do not end when they are cancelled
    ├── WrongThread             from_thread() was called where there is no event loop to wait for
    ├── JobNotFound             no job, or no dead job, has that id
    ├── UniqueKeyTaken          a member of a workflow has a unique key that another job has
    ├── NoResult                a job has no result: it has not ended, has failed, was cancelled or is not known
    ├── InvalidResult           a kept job returned what its annotation does not say
    ├── EncryptionKeyMissing    an encrypted job was met without the key that it needs
    ├── InvalidFilter           a filter of dead jobs cannot be read, or matches another number than was confirmed
    ├── InvalidKey              a cache was given what no key, tag or pattern can be made from
    ├── InvalidValue            a cache was given a value that is not of its type, or that it cannot keep
    ├── SourceTimeout           a cache has no value, and its source did not give one in time
    ├── SourceCancelled         the loading of a cached value was cancelled from within
    ├── LockNotAcquired         a distributed lock did not come free in time
    ├── DependencyFailed        a dependency was not called, or did not answer; by its kind:
    │   ├── BreakerOpen         its breaker is open: it has failed too often lately
    │   ├── BulkheadFull        as many calls of it as may be run already, and as many as may be wait
    │   ├── CallThrottled       it refuses so many calls lately that this one was not made
    │   └── DeadlineExceeded    the time for it was over (also a TimeoutError)
    ├── InvalidTransition       a breaker was told to go to a state that it has not, or not from where it is
    ├── SignatureRefused        a webhook does not prove who sent it, or not when
    ├── KeyRefused              a request shows no API key in force, or one that may not do this
    ├── KeyNotFound             no API key that can be changed has that id (also a LookupError)
    ├── EgressRefused           a connection was asked for to where none may go
    ├── RateLimited             a rate limit was used up
    ├── KeyNotAnswered          a batch's loader had no value for a key (also a LookupError)
    ├── InvalidPurge            a CDN was asked to purge what it cannot, or nothing
    ├── PurgeFailed             a CDN refused a purge, or did not accept it in time
    └── PrometheusUnavailable   a Prometheus did not answer, or refused what it was asked

Each message names the value, the rule it breaks and what to do about it. The command line maps `RoadworthyError` to
exit code 2 and prints the message without a traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadworthy.limits.decision import Decision


class RoadworthyError(Exception):
    """The root of the tree; catching it catches everything that Roadworthy raises on purpose."""


class DeclarationError(RoadworthyError, ValueError):
    """A Service declares something that cannot work."""


class NotRunning(RoadworthyError):
    """A handle was used outside a running service."""

    def __init__(self, handle: str) -> None:
        """`handle` names what was used, as in "database 'main'"."""
        super().__init__(
            f"{handle} was used while its service is not running. Start it with `roadworthy run`, wrap the code in "
            "`async with service.running():`, or in a test in `async with roadworthy.testing.running(service):`."
        )


class MissingExtra(RoadworthyError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        """`what` needs the optional dependencies named `extra`."""
        super().__init__(f"{what} needs an optional dependency. Install it with: pip install 'roadworthy[{extra}]'")


class SettingError(RoadworthyError):
    """An environment variable holds a value that breaks its rule."""


class TargetError(RoadworthyError):
    """A command names a service that cannot be imported."""


class AlreadyRunning(RoadworthyError):
    """Another `roadworthy run` owns the data directory."""


class DatabaseUnavailable(RoadworthyError):
    """PostgreSQL could not be started or reached in time."""


class MigrationError(RoadworthyError):
    """A migration is missing, changed or failed; nothing of it was kept."""


class TransactionEnded(RoadworthyError):
    """A transaction's connection was used after the transaction was over."""


class InvalidArguments(RoadworthyError, TypeError):
    """A job was enqueued with arguments that its function does not take."""


class LeaseLost(RoadworthyError):
    """A job's effect was refused: the job is no longer this attempt's."""


class JobProcessDied(RoadworthyError):
    """The process that ran a job was killed, or ended by itself."""


class WorkerStuck(RoadworthyError):
    """No slot of a queue came free: its jobs do not end when they are cancelled."""


class WrongThread(RoadworthyError, RuntimeError):
    """`from_thread` was called where there is no event loop to wait for."""


class JobNotFound(RoadworthyError, LookupError):
    """No job, or no dead job, has that id."""


class UniqueKeyTaken(RoadworthyError):
    """A member of a workflow has a unique key that another job has; nothing was added."""


class NoResult(RoadworthyError, LookupError):
    """A job has no result: it has not ended, has failed, was cancelled or is not known.

    `state` is the job's; "unknown" for one that never was, or was not kept, or not for so long.
    """

    def __init__(self, message: str, state: str) -> None:
        """`state` is where the job has got to."""
        super().__init__(message)
        self.state = state


class InvalidResult(RoadworthyError, TypeError):
    """A kept job returned what its annotation does not say."""


class EncryptionKeyMissing(RoadworthyError):
    """An encrypted job was met without the key that it needs."""


class InvalidFilter(RoadworthyError, ValueError):
    """A filter of dead jobs cannot be read, or matches another number than was confirmed."""


class InvalidKey(RoadworthyError, TypeError):
    """A cache was given what no key, tag or pattern can be made from."""


class InvalidValue(RoadworthyError, TypeError):
    """A cache was given a value that is not of its type, or that it cannot keep."""


class SourceTimeout(RoadworthyError, TimeoutError):
    """A cache has no value, and its source did not give one in time."""


class SourceCancelled(RoadworthyError):
    """The loading of a cached value was cancelled from within, or by the end of the service."""


class LockNotAcquired(RoadworthyError, TimeoutError):
    """A distributed lock did not come free in time."""


class DependencyFailed(RoadworthyError):
    """A dependency was not called, or did not answer; what it answers with or raises itself is passed on as it is.

    `dependency` is its name, `retry_after` in how many seconds another call may do better, None where nobody knows.
    """

    def __init__(self, message: str, dependency: str = "", retry_after: float | None = None) -> None:
        """`message` says which dependency and what to do about it."""
        super().__init__(message)
        self.dependency = dependency
        self.retry_after = retry_after


class BreakerOpen(DependencyFailed):
    """A dependency's breaker is open: it has failed too often lately to be called now."""


class BulkheadFull(DependencyFailed):
    """As many calls of a dependency as may be run already, and as many as may be wait."""


class CallThrottled(DependencyFailed):
    """A dependency refuses so many calls lately that this one was not made."""


class DeadlineExceeded(DependencyFailed, TimeoutError):
    """The time for a call was over before it, or before its answer came."""


class SignatureRefused(RoadworthyError):
    """A webhook does not prove who sent it, or not when; the message repeats nothing secret."""


class KeyRefused(RoadworthyError):
    """A request shows no API key in force, or one that may not do this; the HTTP stack answers with `status`."""

    def __init__(self, reason: str, status: int, detail: str, challenge: str) -> None:
        """`reason` is one word, `challenge` the WWW-Authenticate of the answer."""
        super().__init__(detail)
        self.reason = reason
        self.status = status
        self.challenge = challenge


class KeyNotFound(RoadworthyError, LookupError):
    """No API key has that id, or it is no longer in force and so cannot be changed."""


class EgressRefused(RoadworthyError, ValueError):
    """A connection was asked for to where none may go: an address that is not public, or a port of another service."""


class RateLimited(RoadworthyError):
    """A rate limit was used up; `decision` says by which quota and for how long.

    In a job it is no failure: the job is postponed until then, and the attempt does not count.
    """

    def __init__(self, decision: Decision) -> None:
        """`decision` is the denial."""
        when = "never" if decision.retry_after == float("inf") else f"in {decision.retry_after:.3g} s"
        super().__init__(
            f"limit {decision.limit!r} admits {decision.quota.count} in {decision.quota.period}, which are used up; "
            f"try again {when}"
        )
        self.decision = decision

    @property
    def retry_after(self) -> float:
        """The seconds after which it would be admitted; infinity for never."""
        return self.decision.retry_after


class InvalidTransition(RoadworthyError, ValueError):
    """A breaker was told to go to a state that it has not, or not from where it is."""


class KeyNotAnswered(RoadworthyError, LookupError):
    """A batch's loader had no value for a key."""


class InvalidPurge(RoadworthyError, ValueError):
    """A CDN was asked to purge what it cannot, or nothing."""


class PurgeFailed(RoadworthyError):
    """A CDN refused a purge, or did not accept it in time."""


class PrometheusUnavailable(RoadworthyError):
    """A Prometheus did not answer, or refused what it was asked."""
