"""`roadworthy jobs enqueue`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, age, command
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.jobs.desk import Desk, add_who, who, with_desk
from roadworthy.cli.output import print_json

if TYPE_CHECKING:
    from roadworthy.jobs.spec import JobSpec


def add(actions: Any) -> None:
    """Add the action."""
    enqueue = command(
        actions,
        "enqueue",
        help="add one job, its arguments checked against the declaration",
        description="Add one job of a service. Its arguments are a JSON object of the function's parameters, checked\n"
        "against the declaration before anything is added. Exits with 1 where a job with the same unique key waits or\n"
        "runs already.",
        examples="  roadworthy jobs enqueue send_welcome --arguments '{\"user\": 42}'\n"
        "  roadworthy jobs enqueue refresh --delay 10m --service shop.service:service",
    )
    enqueue.add_argument("name", metavar="NAME", help="the job's name, which is its function's")
    enqueue.add_argument("--arguments", default="{}", metavar="JSON", help="its arguments by name (default: {})")
    enqueue.add_argument("--delay", type=_delay, metavar="AGE", help="let it run in 90s, 30m, 2h or 7d, not at once")
    enqueue.add_argument("--priority", type=int, metavar="N", help="lower numbers first (default: as declared)")
    enqueue.add_argument(
        "--service",
        dest="target",
        metavar="TARGET",
        help="the service that declares it (default: ROADWORTHY_SERVICE, or [tool.roadworthy] in pyproject.toml)",
    )
    add_who(enqueue)
    add_json(enqueue)
    enqueue.set_defaults(run=_run)


def _delay(text: str) -> timedelta:
    if (delay := age(text)) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait, as in 90s, 30m, 2h or 7d")
    return delay


def _run(options: argparse.Namespace) -> int:
    from roadworthy.cli.arguments import target
    from roadworthy.errors import InvalidArguments
    from roadworthy.jobs.enqueue import new_job
    from roadworthy.jobs.sealing import keys_of
    from roadworthy.runtime.settings import Settings

    service = target(options).service
    keys = keys_of(Settings.load(os.environ).encryption_keys)
    spec = _job(service.spec.jobs, options.name, service.name)
    try:
        arguments = json.loads(options.arguments)
    except ValueError as error:
        raise InvalidArguments(f"--arguments {options.arguments!r} is no JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise InvalidArguments(f'--arguments {options.arguments!r} is no JSON object; write one as in {{"user": 42}}')
    try:
        job = new_job(spec, spec.arguments.bind(**arguments), priority=options.priority, delay=options.delay, keys=keys)
    except ValueError as error:
        raise InvalidArguments(str(error)) from None

    async def enqueue(options: argparse.Namespace, desk: Desk) -> int:
        async with desk.pool.transaction():
            (id,) = await desk.engine.enqueue([job])
            noted = {"job": spec.name, "id": id}
            await desk.engine.dead_letters.note(
                "enqueue", noted, asked=1, changed=int(id is not None), who=who(options), reason=options.reason
            )
        if options.json:
            print_json({"id": id})
        elif id is None:
            print(f"a {spec.name} with the same unique key waits or runs already; nothing was added", file=sys.stderr)
        else:
            print(f"{spec.name} {id} added to {spec.queue}")
        return NO if id is None else DONE

    return with_desk(enqueue)(options)


def _job(jobs: tuple[JobSpec, ...], name: str, service: str) -> JobSpec:
    from difflib import get_close_matches

    from roadworthy.errors import TargetError

    declared = {spec.name: spec for spec in jobs}
    if name not in declared:
        near = get_close_matches(name, declared, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(declared) or 'none'}"
        raise TargetError(f"service {service!r} declares no job {name!r}; {hint}")
    return declared[name]
