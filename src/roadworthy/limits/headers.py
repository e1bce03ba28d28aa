"""What a response tells of rate limits: RateLimit, RateLimit-Policy, Retry-After, and X-RateLimit-* where declared.

RateLimit and RateLimit-Policy are structured fields (RFC 9651), as the IETF draft on RateLimit header fields has them
since 2025: lists of strings, each the name of a policy, with `q` units in `w` seconds, or `r` units left for the next
`t` seconds. Values are made so that a client that obeys any of the fields obeys all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from roadworthy.limits.decision import Decision
from roadworthy.limits.quota import Quota
from roadworthy.limits.spec import LimitSpec

Fields = list[tuple[bytes, bytes]]

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
RATELIMIT = b"ratelimit"
POLICY = b"ratelimit-policy"

SPREAD = 0.1
"""By how much of itself a time is drawn out at most, so that clients do not all come back at once."""


def policy_name(limit: str, index: int) -> str:
    """Return the name of a limit's quota: of the first the limit's own, of those after it numbered."""
    return limit if index == 0 else f"{limit}-{index + 1}"


def policy(limit: str, index: int, quota: Quota) -> str:
    """Return an item of RateLimit-Policy."""
    return f'"{policy_name(limit, index)}";q={quota.count};w={quota.seconds}'


def policies(specs: Sequence[LimitSpec]) -> bytes:
    """Return the value of RateLimit-Policy: what these limits admit, each quota for itself."""
    items = (policy(spec.name, index, quota) for spec in specs for index, quota in enumerate(spec.quotas))
    return ", ".join(items).encode()


def seconds_until(decision: Decision, drawn: float) -> int | None:
    """Return the whole seconds after which there is more to be had, drawn out by up to a tenth; None for never.

    For a request that was refused that is when it would be admitted, for another one when all of the quota is back.
    `drawn` is from 0 to 1.
    """
    seconds = decision.reset_after if decision.admitted else decision.retry_after
    if math.isinf(seconds):
        return None
    return max(math.ceil(seconds * (1 + SPREAD * drawn)), 0 if decision.admitted else 1)


def remaining(decision: Decision, seconds: int | None) -> str:
    """Return an item of RateLimit: what is left of the strictest quota."""
    name = decision.limit if decision.index == 0 else policy_name(decision.limit, decision.index)
    left = decision.remaining if decision.admitted else 0
    return f'"{name}";r={left}' if seconds is None else f'"{name}";r={left};t={seconds}'


def legacy(decision: Decision, seconds: int | None, now: float) -> Fields:
    """Return X-RateLimit-Limit, -Remaining and -Reset, the last in Unix time as most APIs have it; `now` is that."""
    fields = [
        (b"x-ratelimit-limit", b"%d" % decision.quota.count),
        (b"x-ratelimit-remaining", b"%d" % (decision.remaining if decision.admitted else 0)),
    ]
    if seconds is not None:
        fields.append((b"x-ratelimit-reset", b"%d" % math.ceil(now + seconds)))
    return fields
