"""The limits of a running service: what its handles are bound to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from roadworthy.errors import DeclarationError
from roadworthy.limits.limiter import Limiter
from roadworthy.limits.quota import Quota
from roadworthy.limits.spec import LimitSpec
from roadworthy.limits.store import Store

MOST_RATES = 100
"""How many different rates of keys' own a limit has at most."""


class Limiters:
    """Every declared limit of one process, by name.

    A handle remembers the limiter that it found, and looks again where that is `closed`.
    """

    def __init__(self, service: str, specs: Iterable[LimitSpec], store: Store | None = None, *, processes: int = 1):
        """Count in `store`, which is not closed here, for `processes` processes; without one, in memory."""
        self._service = service
        self._store = store
        self._processes = processes
        self.all: Mapping[str, Limiter] = {
            spec.name: Limiter(spec, service, store, processes=processes) for spec in specs
        }
        self._rated: dict[tuple[str, str], Limiter] = {}

    def of(self, name: str) -> Limiter:
        """Return the limiter of the limit with this name."""
        return self.all[name]

    def rated(self, name: str, rate: str) -> Limiter:
        """Return the limiter of a limit for keys with a rate of their own ("1000/minute") in place of its quotas.

        A key must have the same one always. For one that cannot be, and past MOST_RATES, it is the limit's own.
        """
        known = self._rated.get((name, rate))
        if known is not None:
            return known
        plain = self.all[name]
        if len(self._rated) >= MOST_RATES * len(self.all):
            return plain
        try:
            spec = replace(plain.spec, quotas=(Quota.parse(rate, algorithm=plain.spec.quotas[0].algorithm),))
        except DeclarationError:
            return plain
        made = Limiter(
            spec,
            self._service,
            self._store,
            processes=self._processes,
            counts=plain.counts,
        )
        self._rated[name, rate] = made
        return made

    def close(self) -> None:
        """Have handles know that these limiters are over."""
        for limiter in (*self.all.values(), *self._rated.values()):
            limiter.close()
