"""`roadworthy jobs pause`, `resume` and `pauses`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.jobs.desk import Desk, add_who, moment, who, with_desk
from roadworthy.cli.output import print_json, print_table


def add(actions: Any) -> None:
    """Add the actions."""
    pause = command(
        actions,
        "pause",
        help="begin no more jobs of a queue, or of one kind",
        description="Have no worker begin jobs of a queue, or of one kind in it, until it is resumed. Those that run\n"
        "finish, and jobs are still added. Exits with 1 where it is paused already.",
        examples="  roadworthy jobs pause mail --reason 'the provider is down'\n"
        "  roadworthy jobs pause mail --job send_digest",
    )
    _add_what(pause)
    pause.set_defaults(run=with_desk(_pause))
    resume = command(
        actions,
        "resume",
        help="end a pause",
        description="End a pause of a queue, or of one kind of its jobs. Exits with 1 where there is none.",
        examples="  roadworthy jobs resume mail\n  roadworthy jobs resume mail --job send_digest",
    )
    _add_what(resume)
    resume.set_defaults(run=with_desk(_resume))
    pauses = command(
        actions,
        "pauses",
        help="tell what is paused, by whom and why",
        description="List the queues and the kinds of jobs that are paused: since when, by whom and why.",
        examples="  roadworthy jobs pauses\n  roadworthy jobs pauses --json",
    )
    add_json(pauses)
    pauses.set_defaults(run=with_desk(_pauses))


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queue", metavar="QUEUE", help="the queue")
    parser.add_argument("--job", help="this kind of its jobs alone")
    add_who(parser)
    add_json(parser)


async def _pause(options: argparse.Namespace, desk: Desk) -> int:
    await _warn_of_unknown(options.queue, desk)
    changed = await desk.engine.operations.pause(
        options.queue, options.job, by=who(options), reason=options.reason or ""
    )
    return await _told(options, desk, "pause", changed, "is paused", "is paused already; see `roadworthy jobs pauses`")


async def _resume(options: argparse.Namespace, desk: Desk) -> int:
    changed = await desk.engine.operations.resume(options.queue, options.job)
    return await _told(options, desk, "resume", changed, "goes on", "is not paused; see `roadworthy jobs pauses`")


async def _warn_of_unknown(queue: str, desk: Desk) -> None:
    """Say so where a queue has neither jobs nor workers: its name may be mistyped."""
    seen = await desk.engine.operations.overview()
    known = {count.queue for count in seen.counts} | {name for worker in seen.workers for name in worker.report.queues}
    if queue not in known:
        there = ", ".join(sorted(known)) or "none"
        print(f"warning: no job and no worker is in a queue {queue!r}; there is: {there}", file=sys.stderr)


async def _told(options: argparse.Namespace, desk: Desk, action: str, changed: bool, yes: str, no: str) -> int:
    what = options.queue if options.job is None else f"{options.job} in {options.queue}"
    if changed:
        filter = {"queue": options.queue} | ({} if options.job is None else {"job": options.job})
        await desk.engine.dead_letters.note(action, filter, asked=1, changed=1, who=who(options), reason=options.reason)
    if options.json:
        print_json({"changed": changed})
    else:
        print(f"{what} {yes if changed else no}", file=sys.stdout if changed else sys.stderr)
    return DONE if changed else NO


async def _pauses(options: argparse.Namespace, desk: Desk) -> int:
    found = await desk.engine.operations.pauses()
    if options.json:
        print_json({"pauses": [asdict(pause) for pause in found]})
    elif found:
        rows = [
            (pause.queue, pause.job or "(all)", moment(pause.since), pause.by or "-", pause.reason or "-")
            for pause in found
        ]
        print_table(("QUEUE", "JOB", "SINCE", "BY", "REASON"), rows)
    else:
        print("nothing is paused")
    return DONE
