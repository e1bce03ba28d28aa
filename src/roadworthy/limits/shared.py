"""Decisions of a limit that several processes share: by what this one knows, else by asking the store."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from roadworthy.limits.counting import Counts
from roadworthy.limits.decision import Decision
from roadworthy.limits.leases import Account, Leasing
from roadworthy.limits.local import deciding
from roadworthy.limits.memory import MemoryStore
from roadworthy.limits.remembered import Remembered, fitted
from roadworthy.limits.shares import share_of
from roadworthy.limits.spec import LimitSpec
from roadworthy.limits.store import Counter, Store, StoreDown, Verdict
from roadworthy.limits.verdicts import denied, strictest

AGAIN = 1.0
"""Seconds after which one who was denied for want of the store may come again."""

Known = Callable[..., Decision | None]
"""Takes a key and the units, by default 1; decides, or returns None where the store has to be asked."""


class Shared:
    """One limit in one process, counted in a store.

    A process has at most one question for a key under way that takes units ahead, so that it never holds more of them
    than the limit says; others meanwhile ask for what they need, in their own task, so that none waits for two answers
    and one that is cancelled takes nobody with it.
    """

    def __init__(
        self,
        spec: LimitSpec,
        counts: Counts,
        store: Store,
        prefix: str,
        *,
        processes: int,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Keys in the store begin with `prefix`."""
        self.accounts: Remembered[Account] = Remembered(spec.keys)
        self._spec = spec
        self._counts = counts
        self._store = store
        self._clock = clock
        self._leasing = Leasing(spec) if spec.most_ahead else None
        self._capacity = spec.capacity
        self._counted = [
            (f"{prefix}:{spec.name}:{index}:{quota.algorithm}:{quota.seconds}:", quota)
            for index, quota in enumerate(spec.quotas)
        ]
        self._fallback = None if spec.on_error != "local" else _fallback(spec, processes, clock, wall)

    def knowing(self) -> Known:
        """Return what decides without asking; a closure, as in `local`."""
        spec, counts, clock = self._spec, self._counts, self._clock
        name, quotas = spec.name, spec.quotas
        find = self.accounts.held.get

        def decide(key: str, cost: int = 1) -> Decision | None:
            account = find(key)
            if account is None:
                return None
            now = clock()
            left = account.left - cost
            if left >= 0 and now < account.ends:
                account.left = left
                counts.lease_admitted += 1
                index, remaining = account.index, account.remaining + left
                return Decision(True, name, quotas[index], index, remaining, 0.0, account.resets - now, "lease")
            if now < account.denied_until and cost >= account.denied_cost:
                counts.denial_denied += 1
                index = account.index
                wait, reset = account.denied_until - now, account.resets - now
                return denied(spec, counts, index, account.remaining, wait, reset, "denial")
            return None

        return decide

    async def ask(self, key: str, cost: int) -> Decision:
        """Decide by asking the store."""
        if cost > self._capacity:
            return self._never(cost)
        key = fitted(key)
        account = self.accounts.held.get(key)
        if self._leasing is None or (account is not None and account.asking):
            return await self._ask_exactly(key, cost, account)
        if account is None:
            account = Account()
            self.accounts.add(key, account, self._clock())
        return await self._ask_ahead(key, cost, account, self._leasing)

    async def _ask_exactly(self, key: str, cost: int, account: Account | None) -> Decision:
        now = self._clock()
        try:
            verdicts = await self._store.take(self._counters(key), cost, cost)
        except StoreDown:
            return self._on_error(key, cost)
        index = strictest(verdicts)
        if verdicts[index].granted:
            return self._admitted(verdicts[index], index, 0)
        if account is None:
            account = self.accounts.held.get(key)
        if account is None:
            account = Account()
            self.accounts.add(key, account, now)
        return self._denied(account, verdicts[index], index, cost, now)

    async def _ask_ahead(self, key: str, cost: int, account: Account, leasing: Leasing) -> Decision:
        now = self._clock()
        if now >= account.ends:
            self._counts.lost += account.left
            account.left = 0
        ahead = leasing.ahead(account, now)
        # What is at hand is used with what comes; until then, nobody else may have it.
        held, account.left = account.left, 0
        need = cost - held
        account.asking = True
        try:
            verdicts = await self._store.take(self._counters(key), need, need + ahead)
        except BaseException as error:
            account.left += held
            if isinstance(error, StoreDown):
                return self._on_error(key, cost)
            raise
        finally:
            account.asking = False
        index = strictest(verdicts)
        verdict = verdicts[index]
        if not verdict.granted:
            account.left += held
            return self._denied(account, verdict, index, cost, now)
        granted = held + verdict.granted
        account.left += granted - cost
        account.granted, account.since = granted, now
        account.index, account.remaining = index, verdict.remaining
        account.resets = now + verdict.reset_after
        account.ends = max(account.resets, now + leasing.patience)
        self._counts.leased += verdict.granted - need
        return self._admitted(verdict, index, account.left)

    def _counters(self, key: str) -> list[Counter]:
        return [Counter(before + key, quota) for before, quota in self._counted]

    def _admitted(self, verdict: Verdict, index: int, left: int) -> Decision:
        self._counts.store_admitted += 1
        spec = self._spec
        remaining = verdict.remaining + left
        return Decision(True, spec.name, spec.quotas[index], index, remaining, 0.0, verdict.reset_after, "store")

    def _denied(self, account: Account, verdict: Verdict, index: int, cost: int, now: float) -> Decision:
        """Remember a denial that was asked for at `now`, which is not after the store's time for it."""
        self._counts.store_denied += 1
        account.index, account.remaining = index, verdict.remaining
        account.denied_cost, account.denied_until = cost, now + verdict.retry_after
        account.resets = now + verdict.reset_after
        account.ends = max(account.ends, account.denied_until)
        wait, reset = verdict.retry_after, verdict.reset_after
        return denied(self._spec, self._counts, index, verdict.remaining, wait, reset, "store")

    def _never(self, cost: int) -> Decision:
        self._counts.denial_denied += 1
        index = next(index for index, quota in enumerate(self._spec.quotas) if quota.capacity < cost)
        capacity = self._spec.quotas[index].capacity
        return denied(self._spec, self._counts, index, capacity, math.inf, 0.0, "denial")

    def _on_error(self, key: str, cost: int) -> Decision:
        spec, counts = self._spec, self._counts
        counts.store_errors += 1
        if self._fallback is not None:
            return self._by_share(self._fallback(key, cost), cost)
        if spec.on_error == "allow":
            counts.on_error_admitted += 1
            index = _least(spec)
            quota = spec.quotas[index]
            return Decision(True, spec.name, quota, index, quota.capacity - cost, 0.0, 0.0, "on_error")
        counts.on_error_denied += 1
        return denied(spec, counts, _least(spec), 0, AGAIN, AGAIN, "on_error")

    def _by_share(self, local: Decision, cost: int) -> Decision:
        spec, counts, index = self._spec, self._counts, local.index
        if local.admitted:
            counts.on_error_admitted += 1
            quota = spec.quotas[index]
            return Decision(True, spec.name, quota, index, local.remaining, 0.0, local.reset_after, "on_error")
        counts.on_error_denied += 1
        # What no share admits, the store may when it is back.
        wait = AGAIN if math.isinf(local.retry_after) else local.retry_after
        return denied(spec, counts, index, local.remaining, wait, local.reset_after, "on_error")


def _least(spec: LimitSpec) -> int:
    return min(range(len(spec.quotas)), key=lambda index: spec.quotas[index].capacity)


def _fallback(
    spec: LimitSpec, processes: int, clock: Callable[[], float], wall: Callable[[], float]
) -> Callable[..., Decision]:
    quotas = tuple(share_of(quota, processes) for quota in spec.quotas)
    store = MemoryStore(spec.keys * len(quotas), clock=clock, wall=wall)
    return deciding(replace(spec, quotas=quotas, cost=1, shadow=False), Counts(), store)
