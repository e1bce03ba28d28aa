"""What a rate limit is, declared once: how much, of whom, where, and what happens when its store is away."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from roadworthy.errors import DeclarationError
from roadworthy.limits.quota import Algorithm, Quota

OnError = Literal["allow", "deny", "local"]
Who = Literal["address", "api_key", "user", "route"]
By = Who | Callable[[MutableMapping[str, Any]], str | None] | None
Rate = str | Quota

PRESETS: Mapping[str, int] = {"strict": 10, "standard": 100, "lenient": 500, "webhook": 1000}
"""Units in a minute, by the names that stand for them."""

LEASE = 0.1
STORE_TIMEOUT = timedelta(milliseconds=20)
KEYS = 100_000
ANYWHERE = "*"
LONGEST_STORE_TIMEOUT = timedelta(seconds=5)

_WHO: tuple[Who, ...] = get_args(Who)
_ON_ERROR: tuple[OnError, ...] = get_args(OnError)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_ROUTE = re.compile(r"[A-Z]+ /(?:[^\s{}?#]|\{[A-Za-z_]\w*(?::\w+)?\})*")
_MOST_QUOTAS = 8


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One limit: `quotas`, of which all must admit, counted for each key apart.

    `by` says whose key a request has: its address, its verified API key, its user, its route, or what a function of
    the ASGI scope returns, None for a request that is not limited. With None, only code gives keys. `routes` are where
    requests are limited without being asked ("GET /search", "*" for all), for `cost` units each.

    `on_error` is what happens while the shared store does not answer within `store_timeout`: "allow" and "deny" as
    they say, "local" counts in each process a share of the quota, divided by the number of processes.

    `lease` is the largest share of the quota's capacity that a process takes ahead from a shared store. What it holds
    was counted when it was taken, and may be used later: in any stretch as long as the period, at most
    `most_ahead` units for each process are admitted beyond the quota's `most_in_period`. 0 switches that off.

    `keys` is how many keys a process remembers. `legacy_headers` sends X-RateLimit-* as well. `shadow` decides and
    counts, and refuses nobody.
    """

    name: str
    quotas: tuple[Quota, ...]
    by: By = "address"
    routes: tuple[str, ...] = ()
    cost: int = 1
    on_error: OnError = "allow"
    lease: float = LEASE
    store_timeout: timedelta = STORE_TIMEOUT
    keys: int = KEYS
    legacy_headers: bool = False
    shadow: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(
                f"limit name {self.name!r} must match [a-z][a-z0-9_-]*, 50 characters at most; rename it"
            )
        self._check_quotas()
        self._check_requests()
        if self.on_error not in _ON_ERROR:
            raise DeclarationError(
                f"limit {self.name!r} has on_error={self.on_error!r}; choose one of {', '.join(_ON_ERROR)}"
            )
        if not 0 <= self.lease <= 0.5:
            raise DeclarationError(
                f"limit {self.name!r} has lease={self.lease}; it is a share of the quota, from 0 (off) to 0.5"
            )
        if not timedelta(0) < self.store_timeout <= LONGEST_STORE_TIMEOUT:
            raise DeclarationError(
                f"limit {self.name!r} has store_timeout={self.store_timeout}; it must be positive, at most "
                f"{LONGEST_STORE_TIMEOUT.seconds} seconds"
            )
        if self.keys < 1:
            raise DeclarationError(f"limit {self.name!r} has keys={self.keys}; it must be at least 1")

    def _check_quotas(self) -> None:
        if not 1 <= len(self.quotas) <= _MOST_QUOTAS:
            raise DeclarationError(
                f"limit {self.name!r} has {len(self.quotas)} quotas; give it from 1 to {_MOST_QUOTAS}"
            )
        if len(set(self.quotas)) != len(self.quotas):
            raise DeclarationError(f"limit {self.name!r} has the same quota twice; leave one out")
        if not 1 <= self.cost <= self.capacity:
            raise DeclarationError(
                f"limit {self.name!r} has cost={self.cost}; it must be from 1 to what its quotas admit at once, "
                f"{self.capacity}"
            )

    def _check_requests(self) -> None:
        if self.by is not None and self.by not in _WHO and not callable(self.by):
            raise DeclarationError(
                f"limit {self.name!r} has by={self.by!r}; write one of {', '.join(_WHO)}, a function of the ASGI "
                "scope, or None for keys that code gives"
            )
        if self.routes and self.by is None:
            raise DeclarationError(
                f"limit {self.name!r} has routes= but by=None, so that no request has a key; say by what they are "
                "limited, or leave routes= out"
            )
        for route in self.routes:
            if route != ANYWHERE and not _ROUTE.fullmatch(route):
                raise DeclarationError(
                    f"limit {self.name!r} has the route {route!r}; write a method, a space and the path as the "
                    "application declares it, as in 'GET /sites/{name}', or '*' for all"
                )
        if len(set(self.routes)) != len(self.routes):
            raise DeclarationError(f"limit {self.name!r} names a route twice; leave one out")

    @property
    def capacity(self) -> int:
        """How many units all of its quotas admit at once after a pause; a cost above that is never admitted."""
        return min(quota.capacity for quota in self.quotas)

    @property
    def most_ahead(self) -> int:
        """The most units of a key that one process holds, taken ahead from a shared store."""
        return int(self.lease * self.capacity)


def quotas_of(
    name: str, rate: Rate | Sequence[Rate], *, burst: int | None = None, algorithm: Algorithm = "gcra"
) -> tuple[Quota, ...]:
    """Return the quotas of limit `name`: a text as in "100/minute", a preset's name, a `Quota`, or several of them.

    `burst` and `algorithm` go for texts and presets. Raises DeclarationError.
    """
    rates = (rate,) if isinstance(rate, str | Quota) else tuple(rate)
    if burst is not None and len(rates) > 1:
        raise DeclarationError(
            f"limit {name!r} has burst= and {len(rates)} rates; write Quota.parse(..., burst=...) for the one it is of"
        )
    if (burst is not None or algorithm != "gcra") and any(isinstance(one, Quota) for one in rates):
        raise DeclarationError(
            f"limit {name!r} has a Quota and burst= or algorithm= beside it; give them to the Quota itself"
        )
    return tuple(_quota(one, burst, algorithm) for one in rates)


def _quota(rate: Rate, burst: int | None, algorithm: Algorithm) -> Quota:
    if isinstance(rate, Quota):
        return rate
    if rate in PRESETS:
        return Quota(PRESETS[rate], timedelta(minutes=1), burst, algorithm)
    return Quota.parse(rate, burst=burst, algorithm=algorithm)
