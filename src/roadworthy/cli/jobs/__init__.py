"""`roadworthy jobs`: one thin file for each group of its actions."""

from __future__ import annotations

from typing import Any

from roadworthy.cli.arguments import command
from roadworthy.cli.jobs import audit, cancel, dead, enqueue, look, pauses, schedules, top, workers

_DATABASE = "The database is DATABASE_URL's, or the embedded PostgreSQL in ROADWORTHY_DATA_DIR, running or not."


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "jobs",
        help="look at jobs, and retry, discard, pause, cancel or enqueue them",
        description=f"Look at the jobs of a service, and change what becomes of them.\n{_DATABASE}",
        examples="  roadworthy jobs top                             the queues, live\n"
        "  roadworthy jobs groups                          what died, and of what\n"
        "  roadworthy jobs retry --error ConnectionError   all that died of it, once confirmed\n"
        "  roadworthy jobs show 42                         one job with all its failures\n"
        "  roadworthy jobs pause mail                      begin no more jobs of a queue",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for module in (look, dead, audit, pauses, cancel, workers, schedules, enqueue, top):
        module.add(actions)
