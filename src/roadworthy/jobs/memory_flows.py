"""Workflows, results, progress, cancellation and pruning in this process's memory."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from roadworthy.errors import UniqueKeyTaken
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.flows import Cancellations, JobOutcome, NewWorkflow, Predecessor, WorkflowState
from roadworthy.jobs.memory_store import Kept, Store
from roadworthy.jobs.operations import State


@dataclass(slots=True)
class _Edge:
    successor: int
    on_success: bool
    met: bool = False


@dataclass(slots=True)
class _Flow:
    name: str
    added_at: datetime
    keep_until: datetime
    total: int
    skipped: int
    cancelled: int = 0


@dataclass(slots=True)
class Finished:
    """A job that is kept though it has ended, `at` when."""

    kept: Kept
    at: datetime
    keep_until: datetime
    cancelled: bool
    result: bytes | None


class MemoryFlows:
    """The flows without a database, and the model of those with one."""

    def __init__(self, store: Store) -> None:
        """`store` is the engine's."""
        self._store = store
        self._workflows: dict[int, _Flow] = {}
        self._numbers = itertools.count(1)
        self._edges: dict[int, list[_Edge]] = {}
        self.finished: dict[int, Finished] = {}

    async def add(self, workflow: NewWorkflow, *, connection: Any | None = None) -> tuple[int, list[int | None]]:
        """Add a workflow; see `Flows.add`."""
        now = self._store.clock()
        flow = next(self._numbers)
        ids = [next(self._store.ids) for _ in workflow.members]
        for index in sorted(range(len(ids)), key=lambda index: _insertion_order(workflow.members[index].job, index)):
            job = workflow.members[index].job
            if self._store.add(self._in_flow(job, flow), ids[index], now):
                continue
            if workflow.on_taken == "refuse":
                for id in ids:
                    if (kept := self._store.kept.pop(id, None)) is not None:
                        self._store.free(kept)
                raise UniqueKeyTaken(
                    f"workflow {workflow.name!r} has a job {job.job!r} whose unique key {job.unique_key} another job "
                    'has; add it when that one has ended, or declare the workflow with on_taken="skip"'
                )
        added: list[int | None] = [id if id in self._store.kept else None for id in ids]
        for index, member in enumerate(workflow.members):
            before = [ids[earlier] for earlier in member.after if added[earlier] is not None]
            if added[index] is not None and before:
                self._store.kept[ids[index]].state = "held"
                for id in before:
                    self._edges.setdefault(id, []).append(_Edge(ids[index], member.when == "succeeded"))
        skipped = added.count(None)
        self._workflows[flow] = _Flow(workflow.name, now, now + workflow.keep, len(ids) - skipped, skipped)
        self._store.wake(member.job.queue for member in workflow.members)
        return flow, added

    def _in_flow(self, job: NewJob, flow: int) -> NewJob:
        return replace(job, options=msgspec.structs.replace(job.options, workflow=flow))

    async def workflow(self, id: int) -> WorkflowState | None:
        """Count the members of a workflow; see `Flows.workflow`."""
        flow = self._workflows.get(id)
        if flow is None:
            return None
        states = Counter(kept.state for kept in self._store.kept.values() if kept.new.options.workflow == id)
        return WorkflowState(
            id=id,
            name=flow.name,
            added_at=flow.added_at,
            total=flow.total,
            skipped=flow.skipped,
            cancelled=flow.cancelled,
            scheduled=states["scheduled"],
            ready=states["ready"],
            running=states["running"],
            blocked=states["blocked"],
            held=states["held"],
            dead=states["dead"],
        )

    async def members(self, id: int) -> list[int]:
        """Return the members that have not ended; see `Flows.members`."""
        return [kept.id for kept in self._store.kept.values() if kept.new.options.workflow == id]

    async def outcome(self, id: int) -> JobOutcome | None:
        """Tell where a job has got to; see `Flows.outcome`."""
        kept = self._store.kept.get(id)
        if kept is not None:
            last = kept.failures[-1] if kept.state == "dead" else {}
            return JobOutcome(
                kept.new.job, kept.state, None, last.get("error_class"), last.get("message"), kept.new.options.encrypted
            )
        ended = self.finished.get(id)
        if ended is None:
            return None
        state: State = "cancelled" if ended.cancelled else "succeeded"
        return JobOutcome(ended.kept.new.job, state, ended.result, encrypted=ended.kept.new.options.encrypted)

    async def predecessors(self, id: int) -> list[Predecessor]:
        """Return the kept jobs that a job waited for; see `Flows.predecessors`."""
        return [
            Predecessor(earlier, ended.kept.new.job, ended.result or b"null", ended.kept.new.options)
            for earlier, edges in sorted(self._edges.items())
            if (ended := self.finished.get(earlier)) is not None
            and any(edge.met and edge.successor == id for edge in edges)
        ]

    async def progress(self, id: int, lease: int, progress: bytes) -> bool:
        """Note how far a job has got; see `Flows.progress`."""
        kept = self._store.holding(id, lease)
        if kept is None:
            return False
        kept.progress = progress
        return True

    async def cancel(self, ids: Sequence[int]) -> tuple[int, int]:
        """Cancel jobs; see `Flows.cancel`."""
        asked: list[Kept] = []
        waiting: list[int] = []
        for id in sorted(set(ids)):
            kept = self._store.kept.get(id)
            if kept is not None and kept.state == "running":
                kept.cancel_requested_at = kept.cancel_requested_at or self._store.clock()
                asked.append(kept)
            elif kept is not None and kept.state != "dead":
                waiting.append(id)
        return len(self.drop(waiting, keep=True)), len(asked)

    async def discard(self, ids: Sequence[int]) -> int:
        """Delete waiting or dead jobs; see `Flows.discard`."""
        given = [id for id in set(ids) if id in self._store.kept and self._store.kept[id].state != "running"]
        self.drop(given, keep=False)
        return len(given)

    def drop(self, ids: Iterable[int], *, keep: bool) -> list[int]:
        """End jobs without success, and what waits for their success; return all that ended."""
        doomed: dict[int, None] = {}
        todo = sorted(ids)
        while todo:
            id = todo.pop()
            if id not in doomed:
                doomed[id] = None
                todo += [edge.successor for edge in self._edges.get(id, ()) if edge.on_success and not edge.met]
        ended = [kept for id in doomed if (kept := self._store.kept.pop(id, None)) is not None]
        for kept in ended:
            if keep and kept.state != "dead" and kept.new.options.keep is not None:
                self._keep(kept, None, cancelled=True)
            self._store.free(kept)
            if (flow := self._workflows.get(kept.new.options.workflow or 0)) is not None:
                flow.cancelled += 1
        self._release([edge for id in doomed for edge in self._edges.pop(id, ()) if not edge.met])
        self._forget(doomed)
        return [kept.id for kept in ended]

    def succeed(self, kept: Kept, result: bytes | None) -> None:
        """End a job that has succeeded."""
        del self._store.kept[kept.id]
        options = kept.new.options
        if options.keep is not None:
            self._keep(kept, result, cancelled=False)
        if options.unique_while == "unresolved":
            self._store.expire(kept)
        edges = [edge for edge in self._edges.get(kept.id, ()) if not edge.met]
        self._release(edges)
        if options.keep is None:
            self._edges.pop(kept.id, None)
        for edge in edges:
            edge.met = True
        self._forget([kept.id])

    def die(self, kept: Kept) -> None:
        """Let go what waited for the end of a job that was buried."""
        edges = self._edges.get(kept.id, [])
        over = [edge for edge in edges if not edge.on_success]
        self._edges[kept.id] = [edge for edge in edges if edge.on_success]
        self._release(over)

    def _release(self, edges: Sequence[_Edge]) -> None:
        for edge in edges:
            kept = self._store.kept.get(edge.successor)
            if kept is None or kept.state != "held":
                continue
            if not any(
                other.successor == kept.id and not other.met and other is not edge
                for some in self._edges.values()
                for other in some
            ):
                kept.state = "scheduled" if kept.run_at > self._store.clock() else "ready"
                kept.run_at = max(kept.run_at, self._store.clock())
                self._store.wake([kept.new.queue])
            edge.met = True

    def _forget(self, ended: Iterable[int]) -> None:
        """Forget for what jobs that have ended had waited."""
        over = set(ended)
        for id, edges in self._edges.items():
            self._edges[id] = [edge for edge in edges if edge.successor not in over]

    def _keep(self, kept: Kept, result: bytes | None, *, cancelled: bool) -> None:
        now = self._store.clock()
        until = now + timedelta(seconds=kept.new.options.keep or 0)
        self.finished[kept.id] = Finished(kept, now, until, cancelled, result)

    async def cancellations(self, worker: str) -> Cancellations:
        """Find what there is to cancel; see `Flows.cancellations`."""
        asked = [kept for kept in self._store.kept.values() if kept.cancel_requested_at is not None]
        return Cancellations(
            frozenset((kept.id, kept.lease) for kept in asked if kept.state == "running" and kept.worker == worker),
            tuple(kept.id for kept in asked if kept.state not in ("running", "dead")),
        )

    async def prune(self, *, limit: int = 1000) -> int:
        """Remove what was kept long enough; see `Flows.prune`."""
        now = self._store.clock()
        finished = [id for id, ended in self.finished.items() if ended.keep_until < now][:limit]
        for id in finished:
            del self.finished[id]
        living = {kept.new.options.workflow for kept in self._store.kept.values()}
        due = [id for id, flow in self._workflows.items() if flow.keep_until < now][:limit]
        over = [id for id in due if id not in living]
        for id in due:
            self._workflows[id].keep_until = now + timedelta(days=1)
        for id in over:
            del self._workflows[id]
        return max(len(finished), len(over), self._store.forget_keys(limit))

    async def prune_dead(self, queue: str, older_than: timedelta, *, limit: int = 1000) -> int:
        """Discard what has been dead for long; see `Flows.prune_dead`."""
        before = self._store.clock() - older_than
        dead = [kept for kept in self._store.kept.values() if kept.state == "dead" and kept.new.queue == queue]
        old = sorted((kept.run_at, kept.id) for kept in dead if kept.run_at < before)
        return await self.discard([id for _, id in old[:limit]])


def _insertion_order(job: NewJob, index: int) -> tuple[str, str, int]:
    return job.job, job.unique_key or "", index
