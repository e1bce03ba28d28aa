"""The declaration of what things cost: a price sheet for what every service uses, and meters for what it buys."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from roadworthy.errors import DeclarationError

_METER = re.compile(r"[a-z][a-z0-9_]*")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class PricesSpec:
    """What an hour of a processor, a GiB of memory for an hour and a GiB of disk for a month cost, in `currency`.

    `monthly_budget` is what the service may cost in a month; None for no such bound. `currency` is its code by ISO
    4217.
    """

    cpu_hour: float = 0.0
    memory_gib_hour: float = 0.0
    disk_gib_month: float = 0.0
    monthly_budget: float | None = None
    currency: str = "USD"
    name: str = "prices"

    def __post_init__(self) -> None:
        for name in ("cpu_hour", "memory_gib_hour", "disk_gib_month"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise DeclarationError(f"prices have {name}={getattr(self, name)}; a price is a number from 0 on")
        if self.monthly_budget is not None and not (math.isfinite(self.monthly_budget) and self.monthly_budget > 0):
            raise DeclarationError(
                f"prices have monthly_budget={self.monthly_budget}; it is an amount above 0, or left out"
            )
        if not _CURRENCY.fullmatch(self.currency):
            raise DeclarationError(f"prices are in {self.currency!r}; write the currency's code, as in 'USD'")


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """Something that a service uses by the piece, and what one costs: a page, a call of another's API, a token."""

    name: str
    price: float

    def __post_init__(self) -> None:
        if not _METER.fullmatch(self.name):
            raise DeclarationError(f"meter name {self.name!r} must match [a-z][a-z0-9_]*; rename it")
        if not (math.isfinite(self.price) and self.price >= 0):
            raise DeclarationError(f"meter {self.name!r} has price={self.price}; a price is a number from 0 on")
