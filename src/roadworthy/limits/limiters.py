"""The limits of a running service: what its handles are bound to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roadworthy.limits.limiter import Limiter
from roadworthy.limits.spec import LimitSpec
from roadworthy.limits.store import Store


class Limiters:
    """Every declared limit of one process, by name.

    A handle remembers the limiter that it found, and looks again where that is `closed`.
    """

    def __init__(self, service: str, specs: Iterable[LimitSpec], store: Store | None = None, *, processes: int = 1):
        """Count in `store`, which is not closed here, for `processes` processes; without one, in memory."""
        self.all: Mapping[str, Limiter] = {
            spec.name: Limiter(spec, service, store, processes=processes) for spec in specs
        }

    def of(self, name: str) -> Limiter:
        """Return the limiter of the limit with this name."""
        return self.all[name]

    def close(self) -> None:
        """Have handles know that these limiters are over."""
        for limiter in self.all.values():
            limiter.close()
