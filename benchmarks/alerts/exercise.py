"""An exercise: each cause is brought about, its alerts are waited for where they are to arrive, and it is undone."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from .causes import Cause, Phase
from .receivers import Receiver, Receivers
from .running import Running
from .watch import Rule, Watch

_CLEAR_WITHIN = 120.0
_SETTLED_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """What became of an alert: seconds from its cause to its firing and to a receiver's hearing of it, and back.

    `cause` says what was done, or that promtool did it with series. Times are None where that did not come to pass,
    `got` are the receivers that were told. `broken` says what should have been otherwise.
    """

    service: str
    alert: str
    severity: str
    cause: str
    real: bool
    fired: float | None
    told: float | None
    expected: Receiver
    got: tuple[str, ...]
    cleared: float | None
    resolved: float | None
    broken: tuple[str, ...]


@dataclass(slots=True)
class _Fired:
    rule: Rule
    began: float
    fired: float | None = None
    told: float | None = None


async def exercised(
    running: Running, watch: Watch, receivers: Receivers, phases: Sequence[Phase], factor: float
) -> list[Row]:
    """Bring about the causes, phase by phase; return a row for each alert that one of them has."""
    rules = await watch.rules()
    rows: list[Row] = []
    for phase in phases:
        wanted = frozenset(title for cause in phase for title in cause.alerts)
        # What the last phase did by the way shall not pass for what this one does.
        await watch.until(partial(wanted.isdisjoint, watch.firing), _SETTLED_WITHIN)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_carried_out(cause, running, watch, receivers, rules, factor)) for cause in phase
            ]
        for task in tasks:
            rows += task.result()
    return rows


async def _carried_out(
    cause: Cause,
    running: Running,
    watch: Watch,
    receivers: Receivers,
    rules: Mapping[str, Rule],
    factor: float,
) -> list[Row]:
    began = time.monotonic()
    fired = [_Fired(rules[title], began) for title in cause.alerts if title in rules]
    longest = max((one.rule.duration for one in fired), default=0.0)
    print(f"{running.name}: {cause.what}", file=sys.stderr)
    failed = ""
    within = cause.within + 2 * longest + 600 / factor
    try:
        async with cause.done(running):
            await asyncio.gather(*(_awaited(one, watch, receivers, within) for one in fired))
    except Exception as error:  # One cause that fails shall not end the others.
        failed = f"the cause failed: {type(error).__name__}: {error}"
    undone = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_over(one, watch, receivers, undone, factor)) for one in fired]
    rows = [_row(cause, one, task.result(), receivers, failed) for one, task in zip(fired, tasks, strict=True)]
    for row in rows:
        print(f"{running.name}: {row.alert}: {'; '.join(row.broken) or 'as it should'}", file=sys.stderr)
    return rows + [_unknown(cause, running.name, title) for title in cause.alerts if title not in rules]


async def _awaited(one: _Fired, watch: Watch, receivers: Receivers, within: float) -> None:
    until = time.monotonic() + within
    if await watch.until(lambda: one.rule.title in watch.firing, within):
        one.fired = watch.firing.get(one.rule.title, time.monotonic())
        about, since = one.rule.about, one.fired - 2
        await watch.until(
            lambda: receivers.told(one.rule.receiver, about, "firing", since) is not None, until - time.monotonic()
        )
        one.told = receivers.told(one.rule.receiver, about, "firing", since)


async def _over(
    one: _Fired, watch: Watch, receivers: Receivers, undone: float, factor: float
) -> tuple[float | None, float | None]:
    """Return how long after the cause was undone the alert ended, and its receiver was told so."""
    if one.fired is None:
        return None, None
    within = _CLEAR_WITHIN + 3600 / factor
    if not await watch.until(lambda: one.rule.title not in watch.firing, within):
        return None, None
    cleared = time.monotonic() - undone
    if one.told is None:
        return cleared, None
    told = one.told
    await watch.until(lambda: receivers.told(one.rule.receiver, one.rule.about, "resolved", told) is not None, within)
    at = receivers.told(one.rule.receiver, one.rule.about, "resolved", told)
    return cleared, None if at is None else at - undone


def _row(cause: Cause, one: _Fired, over: tuple[float | None, float | None], receivers: Receivers, failed: str) -> Row:
    rule, (cleared, resolved) = one.rule, over
    others = receivers.others(rule.receiver, rule.about)
    broken = [failed] if failed else []
    if one.fired is None:
        broken.append("did not fire")
    elif one.told is None:
        broken.append(f"{rule.receiver} was not told")
    elif cleared is None:
        broken.append("did not end")
    elif resolved is None:
        broken.append(f"{rule.receiver} was not told that it is over")
    got = ([rule.receiver] if one.told is not None else []) + sorted(others)
    return Row(
        rule.service,
        rule.title,
        rule.severity,
        cause.what,
        True,
        None if one.fired is None else round(one.fired - one.began, 1),
        None if one.told is None else round(one.told - one.began, 1),
        rule.receiver,
        tuple(got),
        None if cleared is None else round(cleared, 1),
        None if resolved is None else round(resolved, 1),
        tuple(broken),
    )


def _unknown(cause: Cause, service: str, title: str) -> Row:
    return Row(service, title, "", cause.what, True, None, None, "page", (), None, None, ("there is no such alert",))
