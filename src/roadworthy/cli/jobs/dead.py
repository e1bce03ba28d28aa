"""`roadworthy jobs groups`, `retry` and `discard`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, command, positive
from roadworthy.cli.exits import BAD_USAGE, DONE, NO
from roadworthy.cli.jobs.dead_filter import FILTERS, add_filter, filter_of, given
from roadworthy.cli.jobs.desk import Desk, add_who, asked, count_of, moment, who, with_desk
from roadworthy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from roadworthy.jobs.dead_letters import AuditEntry, DeadFilter, DeadLetters

_PROGRESS_EVERY = 1.0
_CONFIRM = (
    "The jobs are counted and the count is confirmed before the first is touched, and no other job is: not one that\n"
    "dies meanwhile, nor one that was touched and dies again. Interrupted at any moment, the same command goes on\n"
    "where it was. `roadworthy jobs audit` tells who did it."
)


def add(actions: Any) -> None:
    """Add the actions."""
    groups = command(
        actions,
        "groups",
        help="tell what died, and of what",
        description="Group dead jobs by queue, job and error class, the most frequent first, with an example.\n"
        f"{FILTERS}",
        examples="  roadworthy jobs groups\n  roadworthy jobs groups --died-after 2h --json\n"
        "  roadworthy jobs groups --argument tenant=7 --where '$.amount > 100'",
    )
    add_filter(groups)
    add_json(groups)
    groups.set_defaults(run=with_desk(_groups))

    retry = _add_change(
        actions,
        "retry",
        "make dead jobs ready again, with their attempts anew",
        "  roadworthy jobs retry 42 43\n  roadworthy jobs retry --error ConnectionError --died-after 2h\n"
        "  roadworthy jobs retry --job ship --argument country=NO --per-second 20 --reason 'customs are back'\n"
        "  roadworthy jobs retry --all --expect 100000 --yes",
    )
    retry.add_argument(
        "--per-second", type=_rate, metavar="RATE", help="let so many of them become ready in a second, not all at once"
    )
    _add_change(
        actions,
        "discard",
        "delete dead jobs for good",
        "  roadworthy jobs discard 42\n  roadworthy jobs discard --job fetch_page --died-before 30d",
    )


def _add_change(actions: Any, name: str, help: str, examples: str) -> argparse.ArgumentParser:
    change = command(
        actions,
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}: those named by id, or all that the filters let through.\n"
        f"{FILTERS}\n\n{_CONFIRM}",
        examples=examples,
    )
    change.add_argument("ids", nargs="*", type=positive, metavar="ID", help="the ids of the jobs")
    change.add_argument("--all", action="store_true", help="every dead job, where no filter is given")
    add_filter(change)
    change.add_argument("--yes", action="store_true", help="do it without asking")
    change.add_argument("--expect", type=_count, metavar="N", help="do it without asking if exactly N match")
    change.add_argument(
        "--afresh", action="store_true", help="count anew instead of going on with what was interrupted"
    )
    add_who(change)
    add_json(change)
    change.set_defaults(run=with_desk(_change), change=name, per_second=None)
    return change


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0.001 to 1000000")
    return rate


def _count(text: str) -> int:
    return 0 if text == "0" else positive(text)


async def _groups(options: argparse.Namespace, desk: Desk) -> int:
    groups = await desk.engine.dead_letters.groups(filter_of(options))
    if options.json:
        print_json({"groups": [asdict(group) for group in groups]})
    elif groups:
        rows = [
            (
                group.count,
                group.queue,
                group.job,
                group.error_class,
                moment(group.first_died_at),
                moment(group.last_died_at),
                group.example,
                " ".join(group.message.split()),
            )
            for group in groups
        ]
        header = ("COUNT", "QUEUE", "JOB", "ERROR", "FIRST", "LAST", "EXAMPLE", "MESSAGE")
        print_table(header, rows, right=("COUNT", "EXAMPLE"))
    else:
        print("no dead job matches")
    return DONE


async def _change(options: argparse.Namespace, desk: Desk) -> int:
    filters = given(options)
    if bool(options.ids) == bool(options.all or filters):
        print(
            "error: name the jobs by id, or narrow them with --queue, --job, --error and the like, or take --all",
            file=sys.stderr,
        )
        return BAD_USAGE
    if options.ids and options.change == "discard":
        return await _discard_by_id(options, desk)
    ids = list(dict.fromkeys(options.ids)) or None
    letters, filter = desk.engine.dead_letters, filter_of(options, ids)
    begun = await letters.unfinished(options.change, filter)
    if begun is not None and options.afresh:
        await letters.abandon(begun.id)
        begun = None
    state = await _begin(options, letters, filter) if begun is None else await _go_on(options, begun)
    if isinstance(state, int):
        return state
    state = await _carry_out(letters, state)
    return _tell(options, state, asked=len(ids) if ids else state.asked)


async def _begin(options: argparse.Namespace, letters: DeadLetters, filter: DeadFilter) -> AuditEntry | int:
    """Count, have the count confirmed, and begin; or return why not as an exit code."""
    chosen = await letters.choose(filter)
    if options.expect is not None and chosen.count != options.expect:
        print(
            f"error: {count_of(chosen.count, 'dead job')} match, not {options.expect:,}; nothing was changed. "
            "Look again with `roadworthy jobs groups`",
            file=sys.stderr,
        )
        return NO
    sure = options.yes or options.expect is not None or options.ids or chosen.count == 0
    if not sure and (refusal := await _refused(options, f"{count_of(chosen.count, 'dead job')}")) is not None:
        return refusal
    return await letters.begin(
        options.change, chosen, who=who(options), reason=options.reason, per_second=options.per_second
    )


async def _go_on(options: argparse.Namespace, begun: AuditEntry) -> AuditEntry | int:
    left = begun.asked - begun.changed - begun.conflicts
    print(
        f"operation {begun.id} of {begun.who}, begun {moment(begun.at)}, was interrupted after {begun.changed:,} of "
        f"{count_of(begun.asked)}; this goes on with it (--afresh gives it up and counts anew)",
        file=sys.stderr,
    )
    if options.yes or options.expect is not None or options.ids:
        return begun
    refusal = await _refused(options, f"the other {count_of(left, 'dead job')}")
    return begun if refusal is None else refusal


async def _refused(options: argparse.Namespace, what: str) -> int | None:
    """Ask, and return an exit code unless the answer is yes."""
    if not sys.stdin.isatty():
        print(
            f"error: {what} would be affected; add --yes to {options.change} them, or --expect with their number",
            file=sys.stderr,
        )
        return BAD_USAGE
    answer = await asked(f"{options.change} {what}? [y/N] ")
    return None if answer.strip().lower() in ("y", "yes") else NO


async def _carry_out(letters: DeadLetters, begun: AuditEntry) -> AuditEntry:
    from roadworthy.jobs.dead_letters import finish

    last = begun

    def note(state: AuditEntry) -> None:
        nonlocal last
        last = state
        tell(state)

    tell = _progress()
    try:
        return await finish(letters, begun, progress=note)
    except asyncio.CancelledError:
        print(
            f"interrupted after {last.changed:,} of {count_of(last.asked)}; run the same command again to go on",
            file=sys.stderr,
        )
        raise


def _progress() -> Callable[[AuditEntry], None]:
    """Return what tells how far it is, once a second at most; on a terminal all in one line."""
    told_at = time.monotonic()
    shown = False

    def tell(state: AuditEntry) -> None:
        nonlocal told_at, shown
        ended = state.finished_at is not None
        if time.monotonic() - told_at >= _PROGRESS_EVERY and not ended:
            told_at, shown = time.monotonic(), True
            share = 100 * (state.changed + state.conflicts) // max(state.asked, 1)
            line = f"{state.changed + state.conflicts:,} of {state.asked:,} ({share} %)"
            before, after = ("\r", "") if sys.stderr.isatty() else ("", "\n")
            print(f"{before}{line}", end=after, file=sys.stderr, flush=True)
        elif ended and shown and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)

    return tell


def _tell(options: argparse.Namespace, state: AuditEntry, *, asked: int) -> int:
    gone = max(asked - state.changed - state.conflicts, 0)
    if options.json:
        print_json(
            {
                "operation": state.id,
                "asked": asked,
                "changed": state.changed,
                "conflicts": state.conflicts,
                "gone": gone,
            }
        )
    else:
        done = "ready again" if options.change == "retry" else "discarded"
        if options.per_second is not None:
            done = f"will be ready within {state.changed / options.per_second:,.0f} s"
        print(f"{count_of(state.changed)} {done}")
        if state.conflicts:
            print(f"{count_of(state.conflicts)} left dead: another job has the unique key now", file=sys.stderr)
        if gone:
            print(f"{count_of(gone)} not found, or not dead any more", file=sys.stderr)
    return DONE if state.changed == asked else NO


async def _discard_by_id(options: argparse.Namespace, desk: Desk) -> int:
    """Discard jobs in any state but running."""
    ids = list(dict.fromkeys(options.ids))
    changed = await desk.engine.operations.discard(ids)
    await desk.engine.dead_letters.note(
        "discard", {"ids": ids}, asked=len(ids), changed=changed, who=who(options), reason=options.reason
    )
    if options.json:
        print_json({"asked": len(ids), "changed": changed})
    else:
        print(f"{count_of(changed)} discarded")
        if changed < len(ids):
            print(f"{count_of(len(ids) - changed)} not found, or running: cancel those that run", file=sys.stderr)
    return DONE if changed == len(ids) else NO
