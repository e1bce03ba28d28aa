"""What a limit counts, in plain numbers: metrics read them when they are scraped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Counts:
    """The decisions of one limit in this process since it began, by what decided, and what else happened to it.

    `shadowed` are those that were denied and admitted all the same; they are among the denied ones of their source.
    `leased` counts units taken ahead, `lost` those that were not used in time.
    """

    memory_admitted: int = 0
    memory_denied: int = 0
    store_admitted: int = 0
    store_denied: int = 0
    lease_admitted: int = 0
    denial_denied: int = 0
    on_error_admitted: int = 0
    on_error_denied: int = 0
    shadowed: int = 0
    store_errors: int = 0
    leased: int = 0
    lost: int = 0

    @property
    def admitted(self) -> int:
        """How often the limit admitted."""
        return self.memory_admitted + self.store_admitted + self.lease_admitted + self.on_error_admitted

    @property
    def denied(self) -> int:
        """How often the limit denied, or in a shadow limit would have."""
        return self.memory_denied + self.store_denied + self.denial_denied + self.on_error_denied
