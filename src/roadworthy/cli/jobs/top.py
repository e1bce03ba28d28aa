"""`roadworthy jobs top`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command
from roadworthy.cli.exits import BAD_USAGE, DONE
from roadworthy.cli.jobs.desk import Desk, with_desk
from roadworthy.cli.jobs.screen import View, lines
from roadworthy.cli.jobs.workers import document
from roadworthy.cli.output import print_json

if TYPE_CHECKING:
    from roadworthy.jobs.operations import QueueCounts
    from roadworthy.jobs.postgres import PostgresEngine

_REST_PER_COUNTING = 19.0
_LONGEST_SHOWN = 50


def add(actions: Any) -> None:
    """Add the action."""
    top = command(
        actions,
        "top",
        help="watch the queues and the workers, live",
        description="Show for each queue what waits, runs, is blocked, scheduled and dead, for how long the oldest\n"
        "has waited, how many attempts end and fail in a second, how long jobs wait and run; then the jobs that have\n"
        "run longest, and the workers. q or Ctrl-C quits. Counting takes at most a twentieth of the time: with a\n"
        "million jobs the counts are some seconds old, and it says so. Rates are of the workers' last five seconds.",
        examples="  roadworthy jobs top\n  roadworthy jobs top --interval 0.5\n  roadworthy jobs top --once\n"
        "  roadworthy jobs top --json | jq '.queues[] | select(.dead > 0)'",
    )
    top.add_argument(
        "--interval", type=_interval, default=2.0, metavar="SECONDS", help="how often to look, 0.1 to 60 (default 2)"
    )
    top.add_argument("--once", action="store_true", help="print it once, for a script or a file")
    add_json(top)
    top.set_defaults(run=_run)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 60")
    return seconds


def _run(options: argparse.Namespace) -> int:
    if not (options.once or options.json or sys.stdout.isatty()):
        print("error: top draws on a terminal, and this is none; add --once or --json", file=sys.stderr)
        return BAD_USAGE
    return with_desk(_once if options.once or options.json else _live)(options)


class _Glance:
    """Looks at the engine, and counts no more often than counting bears."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._counts: Sequence[QueueCounts] = ()
        self._counted_at = 0.0
        self._count_again_at = 0.0

    async def view(self) -> View:
        """Return everything as it stands."""
        from roadworthy.jobs.overview import longest, queue_lines

        began = time.monotonic()
        counting = began >= self._count_again_at
        seen = await self._engine.operations.overview(count=counting)
        if counting:
            ended = time.monotonic()
            self._counts, self._counted_at = seen.counts, ended
            self._count_again_at = ended + (ended - began) * _REST_PER_COUNTING
        queues = queue_lines(self._counts, seen.workers, seen.pauses, seen.at)
        running = longest(seen.workers, _LONGEST_SHOWN)
        return View(seen.at, queues, seen.workers, running, time.monotonic() - self._counted_at)


async def _once(options: argparse.Namespace, desk: Desk) -> int:
    view = await _Glance(desk.engine).view()
    if options.json:
        print_json(
            {
                "at": view.at,
                "queues": [asdict(queue) for queue in view.queues],
                "longest": [asdict(job) for job in view.longest],
                "workers": [document(worker) for worker in view.workers],
            }
        )
    else:
        for line in lines(view):
            print(line)
    return DONE


async def _live(options: argparse.Namespace, desk: Desk) -> int:
    from roadworthy.cli.jobs.terminal import taken_over
    from roadworthy.errors import DatabaseUnavailable

    glance = _Glance(desk.engine)
    view = View(datetime.now().astimezone(), (), (), (), trouble="looking ...")
    async with taken_over() as terminal:
        look_at = 0.0
        while not terminal.quit.is_set():
            if time.monotonic() >= look_at:
                try:
                    view = await glance.view()
                except DatabaseUnavailable as error:
                    view = replace(view, trouble=str(error))
                look_at = time.monotonic() + options.interval
            terminal.draw(lines(view, *terminal.size))
            await terminal.wait(look_at - time.monotonic())
    return DONE
