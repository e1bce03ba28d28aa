"""Limits and pauses of jobs in this process's memory: the model of what 0003_limits.sql does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from roadworthy.jobs.limits import LimitRule
from roadworthy.jobs.memory_store import Kept, Store

_FURTHER = 4
_FURTHEST = 1000
_ROUNDS = 8


@dataclass(slots=True)
class _Count:
    """One limit, or one key of it: the slots taken, or when the next of a rate would be due."""

    rule: LimitRule
    queue: str
    running: int = 0
    tat: datetime | None = None
    opens_at: datetime | None = None

    def room(self, rule: LimitRule, now: datetime) -> int:
        """For how many more jobs there is room, as `rule` has it."""
        if rule.at_once is not None:
            return rule.at_once - self.running
        ahead = max(self.tat or now, now) - now
        return max((rule.burst or 1) + (-ahead // _spacing(rule)), 0)

    def next_at(self, rule: LimitRule, now: datetime) -> datetime:
        """When a rate has room for one."""
        return max(self.tat or now, now) - ((rule.burst or 1) - 1) * _spacing(rule)


class MemoryLimits:
    """What lets jobs through, or puts them aside."""

    def __init__(self, store: Store) -> None:
        """`store` is the engine's."""
        self._store = store
        self._counts: dict[str, _Count] = {}

    def claim(self, queue: str, limit: int, rules: Sequence[LimitRule]) -> list[Kept]:
        """Return up to `limit` ready jobs of the queue that rules and pauses let through, as running."""
        taken: list[Kept] = []
        look, more = limit, True
        for _ in range(_ROUNDS):
            if len(taken) == limit or not more:
                break
            some, more = self._round(queue, limit - len(taken), look, rules)
            taken += some
            look = min(look * _FURTHER, _FURTHEST)
        if more:
            self._store.wake([queue])
        return taken

    def _round(self, queue: str, most: int, look: int, rules: Sequence[LimitRule]) -> tuple[list[Kept], bool]:
        """Claim once; return what was taken, and whether there may be more to find at once."""
        now = self._store.clock()
        paused = {job for paused, job in self._store.pauses if paused == queue}
        if None in paused or not (paused or rules):
            return [], False
        whole = [rule for rule in rules if rule.whole_queue and rule.family in self._counts]
        most = min([most, *(self._counts[rule.family].room(rule, now) for rule in whole)])
        if most <= 0:
            return [], False
        look = max(look, most)
        found = self._store.ready(queue)[:look]
        needs = {kept.id: {} if kept.new.job in paused else self._needs(kept, rules) for kept in found}
        free = {name: self._counts[name].room(rule, now) for need in needs.values() for name, rule in need.items()}
        taken: list[Kept] = []
        passed: Counter[str] = Counter()
        full = refused = False
        for kept in found:
            if len(taken) == most:
                break
            if kept.new.job in paused:
                self._block(kept, f"pause:{kept.new.job}")
                refused = True
                continue
            need = needs[kept.id]
            full = any(rule.whole_queue and free[name] <= 0 for name, rule in need.items())
            if full:
                break
            culprit = next((name for name in need if free[name] <= 0), None)
            if culprit is None:
                taken.append(kept)
                self._take(kept, need, free, now)
            else:
                self._block(kept, culprit)
                refused = True
                _pass_over(need, need[culprit], free, passed)
        self._note_full(needs, free, now)
        more = not full and len(found) == look and (len(taken) < most or look > most)
        if refused and not full:
            woken = [self._store.unblock(name, min(4 * passed[name], 1000)) for name in passed if free[name] > 0]
            more = more or any(woken)
        return taken, more

    def _needs(self, kept: Kept, rules: Sequence[LimitRule]) -> dict[str, LimitRule]:
        """Return the limits that a job needs, by name; those not met before begin to count."""
        needs: dict[str, LimitRule] = {}
        keys = kept.new.options.limit_keys
        for rule in rules:
            if rule.job in (None, kept.new.job) and (rule.per is None or rule.per in keys):
                name = rule.family if rule.per is None else f"{rule.family}:{keys[rule.per]}"
                needs[name] = rule
                self._counts.setdefault(name, _Count(rule, kept.new.queue))
        return needs

    def _take(self, kept: Kept, need: Mapping[str, LimitRule], free: dict[str, int], now: datetime) -> None:
        for name, rule in need.items():
            free[name] -= 1
            count = self._counts[name]
            if rule.at_once is None:
                count.tat = max(count.tat or now, now) + _spacing(rule)
            else:
                count.running += 1
        kept.holds = tuple(name for name, rule in need.items() if rule.at_once is not None)
        kept.state = "running"

    def _block(self, kept: Kept, name: str) -> None:
        kept.state, kept.blocked_by = "blocked", name

    def _note_full(self, needs: Mapping[int, Mapping[str, LimitRule]], free: Mapping[str, int], now: datetime) -> None:
        for need in needs.values():
            for name, rule in need.items():
                count = self._counts[name]
                if rule.at_once is None and free[name] <= 0 and count.opens_at is None:
                    count.opens_at = count.next_at(rule, now)

    def free(self, holds: Sequence[str]) -> None:
        """Give slots back, each to the first of the jobs put aside for want of it."""
        for name in holds:
            count = self._counts.get(name)
            if count is None:
                continue
            at_once = count.rule.at_once or 0
            if count.rule.whole_queue and count.running >= at_once:
                self._store.wake([count.queue])
            count.running = max(count.running - 1, 0)
            self._store.unblock(name, min(1, at_once - count.running))

    def open(self) -> datetime | None:
        """Make ready what rates have room for again; return when there will be room next."""
        now = self._store.clock()
        for name, count in self._counts.items():
            if count.opens_at is None or count.opens_at > now:
                continue
            room = count.room(count.rule, now)
            used = self._store.unblock(name, room)
            if room == 0:
                count.opens_at = count.next_at(count.rule, now)
            else:
                count.opens_at = now + (room + 1) // 2 * _spacing(count.rule) if used == room else None
            if count.rule.whole_queue:
                self._store.wake([count.queue])
        return min((count.opens_at for count in self._counts.values() if count.opens_at is not None), default=None)

    def mend(self, queues: Sequence[str], rules: Sequence[LimitRule]) -> None:
        """Put limits right; see `Engine.mend`."""
        now = self._store.clock()
        declared = {rule.family: rule for rule in rules}
        held = Counter(name for kept in self._store.kept.values() for name in kept.holds)
        for name, count in sorted(self._counts.items()):
            count.running = held[name]
            rule = declared.get(count.rule.family)
            forsaken = rule is None and count.queue in queues
            if rule is not None and rule != count.rule:
                if rule.at_once is None and count.tat is not None:
                    count.tat = now + (count.tat - now) * (_spacing(rule) / _spacing(count.rule))
                count.rule = rule
                count.opens_at = now if rule.at_once is None else None
            if forsaken:
                self._store.unblock(name, len(self._store.kept))
            elif count.rule.at_once is not None:
                self._store.unblock(name, count.rule.at_once - count.running)
            elif count.opens_at is None and self._store.blocked(name):
                count.opens_at = now
            keyed = name != count.rule.family
            idle = not count.running and (count.tat is None or count.tat < now) and not self._store.blocked(name)
            if idle and (forsaken or keyed):
                del self._counts[name]
        pauses = {f"pause:{job}" for _, job in self._store.pauses if job is not None}
        for name in {kept.blocked_by for kept in self._store.kept.values() if kept.blocked_by is not None}:
            if name not in self._counts and name not in pauses:
                self._store.unblock(name, len(self._store.kept))


def _pass_over(need: Mapping[str, LimitRule], culprit: LimitRule, free: dict[str, int], passed: Counter[str]) -> None:
    """Note what the refusal of a job means for its other limits."""
    for name, rule in need.items():
        if rule.at_once is None:
            continue
        if culprit.per is None and rule.per is not None:
            # It will need its key's slot once its kind has one: the next of the key waits for that.
            free[name] -= 1
        elif culprit.per is not None and rule.per is None:
            # It may have been woken for a slot of its kind, which then is another's.
            passed[name] += 1


def _spacing(rule: LimitRule) -> timedelta:
    return rule.spacing or timedelta.resolution
