"""What a cache is, declared once: how long its values live, and what happens when their source is slow or broken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from roadworthy.errors import DeclarationError

Tier = Literal["memory", "shared"]

LONGEST = timedelta(days=366)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """One cache.

    A value is fresh for `ttl`, shortened by up to the share `jitter`, so that what was stored together does not expire
    together. For `stale` after that it is still served, while one caller refreshes it, and where its source fails; a
    failed refresh is not tried again for `retry_after`. `negative_ttl` is the `ttl` of None, "there is none", where
    that differs. `early` is the beta of XFetch: above 0, a value is refreshed in the background shortly before its
    time, the sooner the costlier it was; 0 switches that off.

    `soft_timeout` is how long a caller waits for the source where a stale value is at hand, `timeout` where none is;
    what comes later is kept. `lock` has one process at a time ask the source for a key.

    `tiers` are the tiers used. `entries` and `bytes` bound what a process keeps in memory. `store_timeout` bounds each
    exchange with the shared store. `compress_over` compresses values of more encoded bytes; None never.
    """

    name: str
    ttl: timedelta
    stale: timedelta = timedelta(0)
    negative_ttl: timedelta | None = None
    jitter: float = 0.1
    early: float = 1.0
    retry_after: timedelta = timedelta(seconds=5)
    soft_timeout: timedelta | None = None
    timeout: timedelta | None = None
    lock: bool = True
    tiers: tuple[Tier, ...] = ("memory", "shared")
    entries: int = 10_000
    bytes: int = 64 * 1024 * 1024
    store_timeout: timedelta = timedelta(milliseconds=250)
    compress_over: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(
                f"cache name {self.name!r} must match [a-z][a-z0-9_-]*, 50 characters at most; rename it"
            )
        for option in ("ttl", "retry_after", "store_timeout"):
            self._positive(option, getattr(self, option))
        for option in ("negative_ttl", "soft_timeout", "timeout"):
            if (value := getattr(self, option)) is not None:
                self._positive(option, value)
        if not timedelta(0) <= self.stale <= LONGEST:
            raise DeclarationError(f"cache {self.name!r} has stale={self.stale}; it must be 0 to {LONGEST.days} days")
        if not 0 <= self.jitter < 1:
            raise DeclarationError(f"cache {self.name!r} has jitter={self.jitter}; it is a share from 0 to below 1")
        if not 0 <= self.early <= 10:
            raise DeclarationError(f"cache {self.name!r} has early={self.early}; it is 0 (off) to 10, 1 by default")
        if self.soft_timeout is not None and self.stale == timedelta(0):
            raise DeclarationError(
                f"cache {self.name!r} has soft_timeout= without stale=; it applies where a stale value is at hand, so "
                "give stale= as well"
            )
        if self.soft_timeout is not None and self.timeout is not None and self.soft_timeout > self.timeout:
            raise DeclarationError(
                f"cache {self.name!r} has a soft_timeout= above its timeout=; make it the shorter one"
            )
        self._check_tiers()

    def _check_tiers(self) -> None:
        if not self.tiers or len(set(self.tiers)) != len(self.tiers) or set(self.tiers) - {"memory", "shared"}:
            raise DeclarationError(f"cache {self.name!r} has tiers={self.tiers!r}; name 'memory', 'shared' or both")
        for option in ("entries", "bytes"):
            if getattr(self, option) < 1:
                raise DeclarationError(
                    f"cache {self.name!r} has {option}={getattr(self, option)}; it must be at least 1"
                )
        if self.compress_over is not None and self.compress_over < 1:
            raise DeclarationError(f"cache {self.name!r} has compress_over={self.compress_over}; it must be at least 1")

    def _positive(self, option: str, value: timedelta) -> None:
        if not timedelta(0) < value <= LONGEST:
            raise DeclarationError(
                f"cache {self.name!r} has {option}={value}; it must be positive, at most {LONGEST.days} days"
            )

    @property
    def lifetime(self) -> timedelta:
        """The longest that a value of this cache is kept: as long must be remembered when a tag was invalidated."""
        return max(self.ttl, self.negative_ttl or timedelta(0)) + self.stale
