"""The handle of a service's dead jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadworthy.handles.host import Host
from roadworthy.jobs.dead_letters import EVERYTHING, Action, AuditEntry, DeadFilter, DeadGroup, carry_out

if TYPE_CHECKING:
    from roadworthy.jobs.dead_letters import DeadLetters as Backend
    from roadworthy.jobs.operations import JobRecord


class DeadLetters:
    """The dead jobs of a service: look at them, retry them or discard them.

    What is retried or discarded is settled when it is asked for; a job that dies meanwhile is not in it. Where the
    process ends in the middle, the same call goes on with what is left, and touches no job twice.
    """

    def __init__(self, service: Host) -> None:
        """Found as `Service.dead_letters`."""
        self._service = service

    @property
    def _backend(self) -> Backend:
        return self._service.binding("the dead letters").engine.dead_letters

    async def groups(self, filter: DeadFilter = EVERYTHING) -> list[DeadGroup]:
        """Return what died, by queue, job and error class, the most frequent first."""
        return await self._backend.groups(filter)

    async def jobs(
        self, filter: DeadFilter = EVERYTHING, *, limit: int = 50, before: int | None = None
    ) -> list[JobRecord]:
        """Return dead jobs, latest enqueued first, with the failure of each attempt; `run_at` is when they died.

        `before` is the last id of the page before.
        """
        return await self._backend.jobs(filter, limit=limit, before=before)

    async def count(self, filter: DeadFilter = EVERYTHING) -> int:
        """Return how many dead jobs match."""
        return (await self._backend.choose(filter)).count

    async def retry(
        self,
        filter: DeadFilter,
        *,
        who: str,
        reason: str | None = None,
        expected: int | None = None,
        per_second: float | None = None,
    ) -> AuditEntry:
        """Make dead jobs ready again, with their attempts anew; return how many were asked for and changed.

        One whose unique key another job has by now stays dead, and is counted among the `conflicts`. `who` and
        `reason` are kept in the audit. `per_second` spreads when they run.

        Raises:
            InvalidFilter: another number than `expected` matches; nothing was changed.
        """
        return await self._change("retry", filter, who, reason, expected, per_second)

    async def discard(
        self, filter: DeadFilter, *, who: str, reason: str | None = None, expected: int | None = None
    ) -> AuditEntry:
        """Delete dead jobs for good; see `retry`."""
        return await self._change("discard", filter, who, reason, expected, None)

    async def _change(
        self,
        action: Action,
        filter: DeadFilter,
        who: str,
        reason: str | None,
        expected: int | None,
        per_second: float | None,
    ) -> AuditEntry:
        return await carry_out(
            self._backend, action, filter, who=who, reason=reason, expected=expected, per_second=per_second
        )
