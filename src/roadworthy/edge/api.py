"""What the APIs of CDNs have in common: one call, and what its answer means for whoever asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, Protocol

from roadworthy.edge.client import Response
from roadworthy.edge.purge import Batch

Verdict = Literal["accepted", "later", "limited", "invalid", "denied"]

_LONGEST_REASON = 300
_INVALID = (400, 413, 414, 422, 431)
_LATER = (408, 425)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a call.

    It was accepted; or it may be made again later, alone or, where the CDN limits how fast it is asked, with all
    others; or something in it is invalid; or no such call will be accepted. `after` is the least to wait, in seconds.
    """

    verdict: Verdict
    reason: str = ""
    after: float | None = None


ACCEPTED = Answer("accepted")


class Api(Protocol):
    """A CDN's API."""

    async def send(self, batch: Batch) -> Answer:
        """Make one call; raise NoResponse where there was none."""


def by_status(response: Response, reason: str, now: datetime) -> Answer:
    """Return what a response means by its status alone (RFC 9110, RFC 6585)."""
    status = response.status
    after = retry_after(response.headers, now)
    reason = f"{status} {reason}".rstrip()
    if 200 <= status < 300:
        return ACCEPTED
    if status == 429 or (status == 503 and after is not None):
        return Answer("limited", reason, after)
    if status >= 500 or status in _LATER:
        return Answer("later", reason, after)
    return Answer("invalid" if status in _INVALID else "denied", reason)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that `Retry-After` asks to wait, given as a number or a date; None without a valid one."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def clean(text: str, secrets: Sequence[str]) -> str:
    """Return what a CDN said, fit for a log: on one line, not too long, without our own secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join(text.split())[:_LONGEST_REASON]
