"""The handle of a workflow: jobs that are added together, some of which wait for others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

from roadworthy.errors import NotRunning
from roadworthy.handles.host import Host
from roadworthy.handles.jobs import Job
from roadworthy.jobs import flows
from roadworthy.jobs.flows import NewWorkflow, OnTaken, When, WorkflowState
from roadworthy.jobs.spec import LONGEST

if TYPE_CHECKING:
    from roadworthy.database.driver import Connection

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Member:
    """A job of a workflow. `id` is its number once the workflow was added, None for one that was skipped."""

    workflow: Workflow
    index: int
    id: int | None = None

    def then(self, job: Job[P, R], *args: P.args, **kwargs: P.kwargs) -> Member:
        """Add a job that runs once this one has succeeded."""
        return self.workflow.after(self).add(job, *args, **kwargs)


class Step:
    """A place in a workflow: what is added here waits for the same members."""

    def __init__(self, workflow: Workflow, after: tuple[Member, ...], when: When) -> None:
        """Made by `Workflow.after`."""
        self._workflow = workflow
        self._after = after
        self._when = when

    def add(self, job: Job[P, R], *args: P.args, **kwargs: P.kwargs) -> Member:
        """Add a job with its arguments."""
        return self._workflow.append(job.prepared(*args, **kwargs), self._after, self._when)

    def add_many(self, job: Job[P, R], arguments: Iterable[Mapping[str, Any]]) -> list[Member]:
        """Add a job for each mapping of arguments."""
        # A mapping is not checked before it is bound.
        prepared: Any = job.prepared
        return [self._workflow.append(prepared(**one), self._after, self._when) for one in arguments]


class Workflow:
    """Jobs that are added together when an `async with` ends, in the transaction that the calling task is then in.

    `id` names it from then on, `skipped` is how many members were left out because their unique key was taken.
    """

    def __init__(
        self, service: Host, name: str, keep: timedelta, on_taken: OnTaken, connection: Connection | None
    ) -> None:
        """Made by `Service.workflow`."""
        if not timedelta(0) < keep <= LONGEST:
            raise ValueError(f"workflow {name!r} has keep={keep}; it must be positive, at most {LONGEST.days} days")
        if on_taken not in get_args(OnTaken):
            raise ValueError(f"workflow {name!r} has on_taken={on_taken!r}; it is 'refuse' or 'skip'")
        self.name = name
        self.skipped = 0
        self._service = service
        self._keep = keep
        self._on_taken: OnTaken = on_taken
        self._connection = connection
        self._id: int | None = None
        self._members: list[Member] = []
        self._added: list[flows.Member] = []

    @property
    def id(self) -> int:
        """The workflow's number."""
        if self._id is None:
            raise NotRunning(f"workflow {self.name!r}, which is added when its block ends,")
        return self._id

    def add(self, job: Job[P, R], *args: P.args, **kwargs: P.kwargs) -> Member:
        """Add a job that waits for no other."""
        return self.after().add(job, *args, **kwargs)

    def add_many(self, job: Job[P, R], arguments: Iterable[Mapping[str, Any]]) -> list[Member]:
        """Add a job for each mapping of arguments; none waits for another."""
        return self.after().add_many(job, arguments)

    def after(self, *members: Member | Iterable[Member], when: When = "succeeded") -> Step:
        """Return the place after `members`, each one or several: what is added there runs once all have `succeeded`.

        With `when="finished"` it runs as well where they died or were cancelled.
        """
        found: dict[Member, None] = {}
        for one in members:
            found.update(dict.fromkeys((one,) if isinstance(one, Member) else one))
        if any(member.workflow is not self for member in found):
            raise ValueError(f"workflow {self.name!r} cannot wait for a member of another; add both to one")
        if when not in get_args(When):
            raise ValueError(f"when={when!r} is no end to wait for; pass 'succeeded' or 'finished'")
        return Step(self, tuple(found), when)

    def append(self, job: Any, after: tuple[Member, ...], when: When) -> Member:
        """Add a prepared job; `Step.add` is for everybody else."""
        if self._id is not None:
            raise ValueError(f"workflow {self.name!r} was added already; begin another")
        self._added.append(flows.Member(job, tuple(member.index for member in after), when))
        member = Member(self, len(self._members))
        self._members.append(member)
        return member

    async def __aenter__(self) -> Workflow:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Add all, or nothing where the block raised.

        Raises:
            UniqueKeyTaken: a member's unique key is taken, and the workflow was not declared to skip it.
        """
        if kind is not None:
            return
        engine = self._service.binding(f"workflow {self.name!r}").engine
        new = NewWorkflow(self.name, self._added, self._keep, self._on_taken)
        self._id, ids = await engine.flows.add(new, connection=self._connection)
        for member, id in zip(self._members, ids, strict=True):
            member.id = id
        self.skipped = ids.count(None)

    async def state(self) -> WorkflowState | None:
        """Count the members by state; None once it is no longer remembered."""
        return await self._service.binding(f"workflow {self.name!r}").engine.flows.workflow(self.id)
