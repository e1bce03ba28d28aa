"""`roadworthy jobs counts`, `list` and `show`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command, positive
from roadworthy.cli.exits import DONE
from roadworthy.cli.jobs.desk import Desk, moment, with_desk
from roadworthy.cli.output import print_json, print_table, styled

if TYPE_CHECKING:
    from roadworthy.jobs.operations import JobRecord

_STATES = ("scheduled", "ready", "running", "blocked", "held", "dead", "succeeded", "cancelled")
_ENDED = ("dead", "succeeded", "cancelled")


def add(actions: Any) -> None:
    """Add the actions."""
    counts = command(
        actions,
        "counts",
        help="count the jobs of each queue",
        description="Count the jobs of each queue by state: blocked ones wait for a limit or a pause, held ones for\n"
        "other jobs.",
        examples="  roadworthy jobs counts --json",
    )
    add_json(counts)
    counts.set_defaults(run=with_desk(_counts))

    listing = command(
        actions,
        "list",
        help="list jobs, newest first",
        description="List jobs, newest first. Those that succeeded or were cancelled are there for as long as their\n"
        "declaration keeps them. Filters of dead jobs are those of `roadworthy jobs groups`.",
        examples="  roadworthy jobs list --state dead\n  roadworthy jobs list --job fetch_page --limit 5 --json",
    )
    listing.add_argument("--queue", help="of this queue alone")
    listing.add_argument("--job", help="of this job alone")
    listing.add_argument("--state", choices=_STATES, help="in this state alone")
    listing.add_argument("--limit", type=positive, default=50, metavar="N", help="at most N (default 50)")
    listing.add_argument("--before", type=positive, metavar="ID", help="the page after the one that ended with ID")
    add_json(listing)
    listing.set_defaults(run=with_desk(_list))

    show = command(
        actions,
        "show",
        help="show one job, with its arguments, progress and failures",
        description="Show one job with its arguments, how far it says it is, and the worker, the time, the error and\n"
        "the traceback of each failed attempt.",
        examples="  roadworthy jobs show 42",
    )
    show.add_argument("id", type=positive, help="the job's id")
    add_json(show)
    show.set_defaults(run=with_desk(_show))


async def _counts(options: argparse.Namespace, desk: Desk) -> int:
    counts = await desk.engine.counts()
    if options.json:
        print_json({"queues": [asdict(count) for count in counts]})
    elif counts:
        header = ("QUEUE", "SCHEDULED", "READY", "RUNNING", "BLOCKED", "HELD", "DEAD", "OLDEST READY")
        rows = [
            (
                count.queue,
                count.scheduled,
                count.ready,
                count.running,
                count.blocked,
                count.held,
                count.dead,
                moment(count.oldest_ready_at),
            )
            for count in counts
        ]
        print_table(header, rows, right=header[1:7])
    else:
        print("no queue holds a job")
    return DONE


async def _list(options: argparse.Namespace, desk: Desk) -> int:
    found = await desk.engine.operations.jobs(
        queue=options.queue, job=options.job, state=options.state, limit=options.limit, before=options.before
    )
    if options.json:
        print_json({"jobs": [document(record) for record in found]})
    elif found:
        print_jobs(found)
    else:
        print("no job matches")
    return DONE


def print_jobs(records: list[JobRecord]) -> None:
    """Print jobs as a table."""
    rows = [
        (
            record.id,
            record.state,
            record.queue,
            record.job,
            f"{record.attempt}/{record.attempts}",
            moment(record.run_at),
            "(encrypted)" if record.encrypted else record.arguments.decode(),
        )
        for record in records
    ]
    print_table(("ID", "STATE", "QUEUE", "JOB", "ATTEMPT", "AT", "ARGUMENTS"), rows, right=("ID",))


async def _show(options: argparse.Namespace, desk: Desk) -> int:
    from roadworthy.errors import JobNotFound
    from roadworthy.jobs.sealing import unsealed

    record = await desk.engine.operations.find(options.id)
    if record is None:
        raise JobNotFound(f"no job has the id {options.id}; it may have succeeded since. See `roadworthy jobs list`")
    record = unsealed(record, desk.keys)
    if options.json:
        print_json(document(record))
        return DONE
    print(styled(f"{record.job} {record.id}", "bold"))
    for name, value in (
        ("state", record.state),
        ("queue", record.queue),
        ("attempt", f"{record.attempt} of {record.attempts}"),
        ("snoozed", record.snoozes or None),
        ("priority", record.priority),
        ("unique key", record.unique_key),
        ("workflow", record.workflow),
        ("enqueued at", moment(record.enqueued_at)),
        (_time_of(record.state), moment(record.run_at)),
        ("worker", record.worker),
        ("to cancel", None if record.cancel_requested_at is None else moment(record.cancel_requested_at)),
        ("arguments", "(encrypted)" if record.encrypted else record.arguments.decode()),
        ("progress", None if record.progress is None else record.progress.decode()),
        ("result", None if record.result is None else "(encrypted)" if record.encrypted else record.result.decode()),
    ):
        if value is not None:
            print(f"  {name:<12} {value}")
    for failure in record.failures:
        print(styled(f"attempt {failure.get('attempt', '?')}: {failure.get('error_class')}", "red"))
        print(f"  {failure.get('at')} on {failure.get('worker') or 'an unknown worker'}")
        print(f"  {failure.get('message', '')}")
        for line in str(failure.get("traceback") or "").rstrip().splitlines():
            print(f"  {line}")
    return DONE


def _time_of(state: str) -> str:
    return "runs at" if state == "scheduled" else "ended at" if state in _ENDED else "since"


def document(record: JobRecord) -> dict[str, Any]:
    """Return a job as JSON, with what is JSON in it unpacked."""
    unpacked = {
        "arguments": json.loads(record.arguments),
        "progress": None if record.progress is None else json.loads(record.progress),
        "result": None if record.result is None else json.loads(record.result),
    }
    return asdict(record) | unpacked
