"""What was enqueued, looked at before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from roadworthy.handles.jobs import Job
from roadworthy.jobs.engine import JobOptions
from roadworthy.jobs.operations import JobRecord, State
from roadworthy.jobs.sealing import Keys, opened
from roadworthy.jobs.spec import JobSpec
from roadworthy.service import Service

_PAGE = 1000
_SHOWN = 10
_ENDED = ("dead", "succeeded", "cancelled")


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A job that waits or runs, its `arguments` as its function takes them."""

    id: int
    job: str
    queue: str
    state: State
    arguments: dict[str, Any]
    priority: int
    run_at: datetime


async def enqueued(service: Service, job: Job[..., Any] | str, /, **arguments: Any) -> list[Enqueued]:
    """Return the jobs of a kind that wait or run and have these arguments, whatever their others, oldest first."""
    return [one for one in await _all(service, job) if not _differences(one, arguments)]


async def assert_enqueued(service: Service, job: Job[..., Any] | str, /, **arguments: Any) -> Enqueued:
    """Return the latest job of a kind that waits or runs and has these arguments, whatever its others.

    Raises:
        AssertionError: there is none; the message shows those of its kind, and where each differs.
    """
    there = await _all(service, job)
    fitting = [one for one in there if not _differences(one, arguments)]
    if fitting:
        return fitting[-1]
    wanted = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    lines = [f"no job {_name(job)}({wanted}) waits or runs"]
    if not there:
        lines.append("none of its kind does")
    for one in there[-_SHOWN:]:
        lines.append(f"  {one.state} {one.job} {one.id}:")
        lines += [f"    {line}" for line in _differences(one, arguments)]
    if len(there) > _SHOWN:
        lines.append(f"  and {len(there) - _SHOWN} before these")
    raise AssertionError("\n".join(lines))


async def _all(service: Service, job: Job[..., Any] | str) -> list[Enqueued]:
    name = _name(job)
    binding = service.binding("testing.enqueued")
    specs = {spec.name: spec for spec in service.spec.jobs}
    if name not in specs:
        raise LookupError(f"service {service.name!r} declares no job {name!r}; it has: {', '.join(specs) or 'none'}")
    found: list[JobRecord] = []
    before: int | None = None
    while page := await binding.engine.operations.jobs(job=name, limit=_PAGE, before=before):
        found += page
        before = page[-1].id
    waiting = [record for record in reversed(found) if record.state not in _ENDED]
    return [_shown(record, specs[name], binding.keys) for record in waiting]


def _shown(record: JobRecord, spec: JobSpec, keys: Keys | None) -> Enqueued:
    clear = opened(record.arguments, JobOptions(encrypted=record.encrypted), record.job, keys)
    try:
        arguments = spec.arguments.decode(clear)
    except TypeError:
        # Kept by a version whose arguments were others: shown as they are.
        arguments = msgspec.json.decode(clear)
    return Enqueued(record.id, record.job, record.queue, record.state, arguments, record.priority, record.run_at)


def _differences(one: Enqueued, wanted: dict[str, Any]) -> list[str]:
    return [
        f"{name} is {one.arguments[name]!r}, not {value!r}"
        if name in one.arguments
        else f"{name} is none of its arguments: {', '.join(one.arguments) or 'it has none'}"
        for name, value in wanted.items()
        if name not in one.arguments or one.arguments[name] != value
    ]


def _name(job: Job[..., Any] | str) -> str:
    return job if isinstance(job, str) else job.name
