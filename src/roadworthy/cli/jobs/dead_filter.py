"""The filter of dead jobs, as the command line says it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import age, positive

if TYPE_CHECKING:
    from roadworthy.jobs.dead_letters import DeadFilter

_NAMES = ("queue", "job", "error", "message", "died_after", "died_before", "argument", "where", "at_most")

FILTERS = (
    "Filters go together: a job must match all that are given. --error may leave the error's module out. WHEN is a\n"
    "time (2030-01-31T12:00+01:00) or an age (90s, 30m, 2h, 7d)."
)


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Add the options that narrow dead jobs down."""
    parser.add_argument("--queue", help="of this queue")
    parser.add_argument("--job", help="of this job")
    parser.add_argument("--error", metavar="CLASS", help="that died of this error class")
    parser.add_argument("--message", metavar="TEXT", help="whose error message has TEXT in it")
    parser.add_argument("--died-after", type=_when, metavar="WHEN", help="that died at WHEN or later")
    parser.add_argument("--died-before", type=_when, metavar="WHEN", help="that died before WHEN")
    parser.add_argument(
        "--argument",
        action="append",
        type=_argument,
        metavar="NAME=VALUE",
        help="called with this argument, VALUE being JSON or plain text (repeatable)",
    )
    parser.add_argument("--where", metavar="PATH", help="whose arguments fulfil a predicate in SQL/JSON path language")
    parser.add_argument("--at-most", type=positive, metavar="N", help="only the N of them that died first")


def given(options: argparse.Namespace) -> list[str]:
    """Return the filters that are given, by their option."""
    return [f"--{name.replace('_', '-')}" for name in _NAMES if getattr(options, name) is not None]


def filter_of(options: argparse.Namespace, ids: Sequence[int] | None = None) -> DeadFilter:
    """Return the filter that the options say."""
    from roadworthy.jobs.dead_letters import DeadFilter

    after, before = options.died_after, options.died_before
    return DeadFilter(
        queue=options.queue,
        job=options.job,
        error_class=options.error,
        message=options.message,
        died_after=after if isinstance(after, datetime) else None,
        younger_than=after if isinstance(after, timedelta) else None,
        died_before=before if isinstance(before, datetime) else None,
        older_than=before if isinstance(before, timedelta) else None,
        arguments=None if options.argument is None else dict(options.argument),
        arguments_path=options.where,
        ids=None if ids is None else tuple(ids),
        at_most=options.at_most,
    )


def _when(text: str) -> datetime | timedelta:
    if (old := age(text)) is not None:
        return old
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time as in 2030-01-31T12:00+01:00 nor an age as in 90s, 30m, 2h or 7d"
        ) from None
    # Without a zone it is the time that the person's clock shows.
    return at.astimezone()


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, as in user=42 or to='\"42\"'")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
