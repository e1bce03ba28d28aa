"""`roadworthy jobs workers`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.jobs.desk import Desk, moment, with_desk
from roadworthy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from roadworthy.jobs.workers import WorkerRecord

HEADER = ("WORKER", "HOST", "PID", "SINCE", "SEEN", "STATE", "RUNS", "HOLDS", "SLOTS", "QUEUES", "LONGEST")
RIGHT = ("PID", "SEEN", "RUNS", "HOLDS", "SLOTS")


def add(actions: Any) -> None:
    """Add the action."""
    workers = command(
        actions,
        "workers",
        help="tell who works, and what they hold since when",
        description="List the workers: since when they work, when they last said so, whether they take jobs, and what\n"
        "they hold. One that vanished is listed for an hour. Exits with 1 where one that is there takes no jobs.",
        examples="  roadworthy jobs workers\n  roadworthy jobs workers --json",
    )
    add_json(workers)
    workers.set_defaults(run=with_desk(_workers))


async def _workers(options: argparse.Namespace, desk: Desk) -> int:
    found = await desk.engine.operations.workers()
    if options.json:
        print_json({"workers": [document(worker) for worker in found]})
    elif found:
        print_table(HEADER, [row(worker) for worker in found], right=RIGHT)
    else:
        print("no worker has told of itself within the hour")
    return NO if any(worker.present and not worker.consumes for worker in found) else DONE


def state(worker: WorkerRecord) -> str:
    """Return in a word how a worker is."""
    if not worker.present:
        return "vanished"
    if not worker.consumes:
        return "stalled"
    return "retiring" if worker.report.retiring else "working"


def row(worker: WorkerRecord) -> tuple[object, ...]:
    """Return a worker's cells under `HEADER`."""
    queues = worker.report.queues
    running = sum(queue.running for queue in queues.values())
    longest = worker.report.longest
    return (
        worker.name,
        worker.host,
        worker.pid,
        moment(worker.started_at),
        f"{duration(worker.silent.total_seconds())} ago",
        state(worker),
        running,
        running + sum(queue.waiting for queue in queues.values()),
        sum(queue.slots for queue in queues.values()),
        ", ".join(queues),
        f"{longest[0].job} {longest[0].id} for {duration(longest[0].seconds)}" if longest else "-",
    )


def document(worker: WorkerRecord) -> dict[str, Any]:
    """Return a worker as JSON."""
    return asdict(worker) | {
        "silent": worker.silent.total_seconds(),
        "state": state(worker),
        "report": msgspec.to_builtins(worker.report),
    }


def duration(seconds: float | None) -> str:
    """Return a time as "12 ms", "3.4 s", "5:06" or "1 day, 2:03:04"; "-" for none."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    text = str(timedelta(seconds=int(seconds)))
    return text.removeprefix("0:")
