"""How fast a CDN may be asked, and how long to wait before it is asked again."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many calls an API takes: `per_second`, and after a pause `burst` at once. Each process has it for itself."""

    per_second: float
    burst: int

    def __post_init__(self) -> None:
        if not 0 < self.per_second <= 10_000:
            raise DeclarationError(f"an allowance has per_second={self.per_second}; it is above 0, at most 10,000")
        if not 1 <= self.burst <= 10_000:
            raise DeclarationError(f"an allowance has burst={self.burst}; it is 1 to 10,000")


class TokenBucket:
    """Tokens for an allowance's calls, full at first; times are seconds of a monotonic clock."""

    def __init__(self, allowance: Allowance, now: float) -> None:
        """Fill the bucket."""
        self._rate = allowance.per_second
        self._most = allowance.burst
        self._tokens = float(allowance.burst)
        self._counted_at = now

    def ready_at(self, now: float) -> float:
        """Return when there is a token: now, or later."""
        self._refill(now)
        return now if self._tokens >= 1 else now + (1 - self._tokens) / self._rate

    def spend(self, now: float) -> None:
        """Take a token."""
        self._refill(now)
        self._tokens -= 1

    def _refill(self, now: float) -> None:
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._counted_at) * self._rate)
        self._counted_at = now


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and for how long a call is repeated: `attempts` in all, within `seconds` of the first."""

    attempts: int = 20
    seconds: float = 900.0
    first: float = 1.0
    longest: float = 60.0

    def delay(self, attempt: int, jitter: float) -> float:
        """Return how many seconds to wait after the failed `attempt` (from 1).

        Exponential with full jitter, as in M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015;
        `jitter` is a random number from 0 up to 1.
        """
        return jitter * min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
