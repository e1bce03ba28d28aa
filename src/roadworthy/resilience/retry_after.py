"""When whoever refused a call asks to be called again: the Retry-After of HTTP (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import cast


def asked_wait(outcome: object, now: float) -> float | None:
    """Return how many seconds an exception or a response asks to wait; None where it does not say.

    Its attribute `retry_after` says it, or else a `Retry-After` among the headers of its `response` or of itself, as
    HTTP clients have them. `now` is Unix time in seconds.
    """
    if (said := getattr(outcome, "retry_after", None)) is not None:
        return seconds_of(said, now)
    for bearer in (getattr(outcome, "response", None), outcome):
        headers = getattr(bearer, "headers", None)
        if not callable(getattr(headers, "get", None)):
            continue
        named = cast(Mapping[str, object], headers)
        if (said := named.get("Retry-After") or named.get("retry-after")) is not None:
            return seconds_of(said, now)
    return None


def seconds_of(said: object, now: float) -> float | None:
    """Return the seconds from `now`, Unix time, that a number, a duration, a moment or a header's text means.

    What is past is 0; what cannot be read, a moment without a time zone among it, is None.
    """
    seconds: float | None = None
    match said:
        case bool():
            pass
        case int() | float():
            seconds = float(said)
        case timedelta():
            seconds = said.total_seconds()
        case datetime():
            seconds = None if said.tzinfo is None else said.timestamp() - now
        case str():
            seconds = _seconds_of_text(said.strip(), now)
    return None if seconds is None or math.isnan(seconds) else max(seconds, 0.0)


def _seconds_of_text(text: str, now: float) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    # A date in HTTP is in GMT, whatever it leaves out.
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
