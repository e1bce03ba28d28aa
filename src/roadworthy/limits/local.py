"""Decisions of a limit that counts in this process alone: they wait for nothing.

Each is a few look-ups and one addition. A closure makes them, since what a function finds in its cells costs less than
what a method finds in attributes, and a limit is asked at each request.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from roadworthy.limits.counting import Counts
from roadworthy.limits.decision import Decision
from roadworthy.limits.gcra import Gcra
from roadworthy.limits.memory import MemoryStore
from roadworthy.limits.remembered import fitted
from roadworthy.limits.spec import LimitSpec
from roadworthy.limits.verdicts import denied, strictest

Here = Callable[..., Decision]
"""Takes a key and the units, by default 1; decides."""


def deciding(spec: LimitSpec, counts: Counts, store: MemoryStore) -> Here:
    """Return what decides for a limit by what `store`, which is the limit's own, holds."""
    policies = [store.policy(quota) for quota in spec.quotas]
    if len(policies) == 1 and isinstance(policies[0], Gcra):
        return _one_gcra(spec, counts, store, policies[0])
    quotas, name = spec.quotas, spec.name
    prefixes = [f"{index}:" for index in range(len(quotas))]

    def decide(key: str, cost: int = 1) -> Decision:
        key = fitted(key)
        verdicts = store.take_now([prefix + key for prefix in prefixes], policies, cost)
        index = strictest(verdicts)
        verdict = verdicts[index]
        if verdict.granted:
            counts.memory_admitted += 1
            return Decision(True, name, quotas[index], index, verdict.remaining, 0.0, verdict.reset_after, "memory")
        counts.memory_denied += 1
        remaining = verdict.remaining
        return denied(spec, counts, index, remaining, verdict.retry_after, verdict.reset_after, "memory")

    return decide


def _one_gcra(spec: LimitSpec, counts: Counts, store: MemoryStore, policy: Gcra) -> Here:
    name, quota, clock, states = spec.name, spec.quotas[0], store.clock, store.states
    spacing, tolerance, rate, capacity = policy.spacing, policy.tolerance, policy.rate, policy.capacity
    longest = capacity * spacing
    held = states.held
    find = held.get

    def decide(key: str, cost: int = 1) -> Decision:
        now = clock()
        state = find(key)
        if state is None:
            key = fitted(key)
            state = find(key)
            if state is None:
                state = now
                states.add(key, state, now)
        ahead = (state - now if state > now else 0.0) + (spacing if cost == 1 else spacing * cost)
        left = tolerance - ahead
        if left >= 0.0:
            held[key] = now + ahead
            counts.memory_admitted += 1
            return Decision(True, name, quota, 0, int(left * rate), 0.0, ahead, "memory")
        counts.memory_denied += 1
        taken = state - now if state > now else 0.0
        wait = ahead - longest if cost <= capacity else math.inf
        return denied(spec, counts, 0, int((tolerance - taken) * rate), wait, taken, "memory")

    return decide
