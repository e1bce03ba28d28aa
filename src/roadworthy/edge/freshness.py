"""Whether a response may be stored by a shared cache, for how long it is fresh, and when it may be used (RFC 9111).

Where the RFC leaves a choice, the careful one is taken. What it allows although it may hand one user's content to
another is not done unasked: a response with `Set-Cookie` is not stored, and one to a request with a `Cookie` only if it
is marked for shared caches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from roadworthy.edge.cache_control import Directives, response_directives
from roadworthy.edge.dates import parse_date
from roadworthy.edge.fields import content_length
from roadworthy.edge.stored import StoredResponse

HEURISTICALLY_CACHEABLE = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses whose responses may be stored without being told for how long (RFC 9110, section 15.1)."""

ERRORS = frozenset({500, 502, 503, 504})
"""Statuses that count as a failure of the application (RFC 5861, section 4)."""

_UNDERSTOOD = frozenset(
    {200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414}
    | {415, 416, 417, 421, 422, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 511}
)
_NEVER = frozenset({206, 304})
_VALIDATORS_KEPT = 3600.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What a cache is told once.

    `targeted` are the fields of RFC 9213 that it heeds, in lower case, the first one valid wins. `share_cookies` has it
    store responses with `Set-Cookie` and those to requests with a `Cookie` as the RFC allows, `share_authorised` those
    to requests with `Authorization`: only for content that does not depend on who asks. `heuristic` is the share of the
    time since its last modification for which a response is fresh that does not say, `heuristic_limit` the most, in
    seconds. `grace` is for how long a stale response is used where the application fails and nobody said how long.
    """

    targeted: tuple[bytes, ...] = (b"cdn-cache-control",)
    share_cookies: bool = False
    share_authorised: bool = False
    heuristic: float = 0.1
    heuristic_limit: float = 3600.0
    grace: float = 60.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a response says about storing it. `refusal` is why not; the rest is as in `StoredResponse`.

    `without` are the fields to leave out.
    """

    refusal: str | None = None
    lifetime: float = 0.0
    initial_age: float = 0.0
    always_validate: bool = False
    may_be_stale: bool = True
    stale_while: float = 0.0
    stale_error: float = 0.0
    for_all: bool = False
    without: frozenset[bytes] = frozenset()


class Use(Enum):
    """What a stored response is good for."""

    FRESH = "fresh"
    STALE = "stale, as the request allows"
    STALE_WHILE_REVALIDATE = "stale, while it is fetched anew"
    VALIDATE = "to be asked after"


def assess(
    request: Mapping[bytes, bytes],
    request_directives: Directives,
    status: int,
    fields: Mapping[bytes, Sequence[bytes]],
    *,
    requested: float,
    received: float,
    rules: Rules,
) -> Assessment:
    """Assess a response to a GET. `request` are the request's headers, `fields` the lines of each of the response's.

    `requested` and `received` are when its headers were asked for and came, Unix time in seconds.
    """
    directives, targeted = response_directives(fields, rules.targeted)
    marked = targeted or "public" in directives or "s-maxage" in directives
    refusal = _refusal(request, request_directives, status, fields, directives, rules, marked=marked)
    if refusal is not None:
        return Assessment(refusal)
    date = _date(fields, received)
    lifetime = _explicit_lifetime(fields, directives, date, received, targeted=targeted)
    if lifetime is None:
        lifetime = _heuristic_lifetime(status, fields, directives, date, received, rules, targeted=targeted)
    validated = b"etag" in fields or b"last-modified" in fields
    if lifetime is None and not ("no-cache" in directives and validated):
        return Assessment("no-lifetime")
    without = (directives.fields("no-cache") or frozenset()) | (directives.fields("private") or frozenset())
    always = "no-cache" in directives and directives.fields("no-cache") is None
    may_be_stale = directives_allow_stale(directives) and not always
    stale_while = directives.seconds("stale-while-revalidate") or 0
    stale_error = directives.seconds("stale-if-error")
    # A response that must not be used unasked and cannot be asked after is of no use.
    if not validated and (always or ((lifetime or 0.0) <= 0 and not (may_be_stale and (stale_while or stale_error)))):
        return Assessment("never-fresh")
    return Assessment(
        lifetime=lifetime or 0.0,
        initial_age=initial_age(fields, requested=requested, received=received),
        always_validate=always,
        may_be_stale=may_be_stale,
        stale_while=float(stale_while) if may_be_stale else 0.0,
        stale_error=(rules.grace if stale_error is None else float(stale_error)) if may_be_stale else 0.0,
        for_all=marked or "must-revalidate" in directives,
        without=without,
    )


def directives_allow_stale(directives: Directives) -> bool:
    """Return whether a shared cache may ever use a response when it is stale (RFC 9111, section 4.2.4)."""
    return not any(name in directives for name in ("must-revalidate", "proxy-revalidate", "s-maxage"))


def _refusal(
    request: Mapping[bytes, bytes],
    request_directives: Directives,
    status: int,
    fields: Mapping[bytes, Sequence[bytes]],
    directives: Directives,
    rules: Rules,
    *,
    marked: bool,
) -> str | None:
    """Return why a response must not be stored (RFC 9111, section 3), None where it may be."""
    if status < 200 or status in _NEVER or ("must-understand" in directives and status not in _UNDERSTOOD):
        return "status"
    if "no-store" in request_directives or ("no-store" in directives and "must-understand" not in directives):
        return "no-store"
    if "private" in directives and directives.fields("private") is None:
        return "private"
    if b"*" in b",".join(fields.get(b"vary", ())):
        return "vary"
    if b"authorization" in request and not rules.share_authorised:
        allowed = any(name in directives for name in ("public", "s-maxage", "must-revalidate"))
        if not allowed:
            return "authorization"
    if not rules.share_cookies:
        if b"set-cookie" in fields and b"set-cookie" not in _left_out(directives):
            return "set-cookie"
        if b"cookie" in request and not marked and not _varies_by_cookie(fields):
            return "cookie"
    if content_length(fields) == -1:
        return "content-length"
    return "event-stream" if fields.get(b"content-type", [b""])[0].startswith(b"text/event-stream") else None


def _left_out(directives: Directives) -> frozenset[bytes]:
    return (directives.fields("no-cache") or frozenset()) | (directives.fields("private") or frozenset())


def _varies_by_cookie(fields: Mapping[bytes, Sequence[bytes]]) -> bool:
    return any(name.strip().lower() == b"cookie" for line in fields.get(b"vary", ()) for name in line.split(b","))


def _explicit_lifetime(
    fields: Mapping[bytes, Sequence[bytes]], directives: Directives, date: float, received: float, *, targeted: bool
) -> float | None:
    """Return the freshness lifetime that a response states (RFC 9111, section 4.2.1)."""
    for name in ("s-maxage", "max-age"):
        seconds = directives.seconds(name)
        if seconds is not None:
            return float(seconds)
    if targeted or b"expires" not in fields:
        return None
    lines = {line.strip() for line in fields[b"expires"]}
    expires = parse_date(lines.pop(), received) if len(lines) == 1 else None
    # Anything that is no date, above all "0", is the past.
    return 0.0 if expires is None else expires - date


def _heuristic_lifetime(
    status: int,
    fields: Mapping[bytes, Sequence[bytes]],
    directives: Directives,
    date: float,
    received: float,
    rules: Rules,
    *,
    targeted: bool,
) -> float | None:
    """Return a freshness lifetime for a response that states none (RFC 9111, section 4.2.2)."""
    if targeted or (status not in HEURISTICALLY_CACHEABLE and "public" not in directives):
        return None
    modified = parse_date(fields[b"last-modified"][0], received) if b"last-modified" in fields else None
    if modified is None:
        return None
    return min(rules.heuristic_limit, max(0.0, (date - modified) * rules.heuristic))


def _date(fields: Mapping[bytes, Sequence[bytes]], received: float) -> float:
    date = parse_date(fields[b"date"][0], received) if b"date" in fields else None
    return float(int(received)) if date is None else float(date)


def initial_age(fields: Mapping[bytes, Sequence[bytes]], *, requested: float, received: float) -> float:
    """Return a response's age when it came, in seconds (RFC 9111, section 4.2.3, `corrected_initial_age`)."""
    apparent = max(0.0, int(received) - _date(fields, received))
    return max(apparent, _age(fields) + max(0.0, received - requested))


def _age(fields: Mapping[bytes, Sequence[bytes]]) -> float:
    """Return what `Age` says: the first value of several counts, and what is no number is ignored."""
    if b"age" not in fields:
        return 0.0
    value = fields[b"age"][0].split(b",")[0].strip()
    return float(min(int(value), 2**31)) if value.isdigit() else 0.0


def use(stored: StoredResponse, request_directives: Directives, now: float) -> Use:
    """Return what a stored response that matches a request is good for now (RFC 9111, section 4)."""
    if stored.always_validate or "no-cache" in request_directives or "no-store" in request_directives:
        return Use.VALIDATE
    age, remaining = stored.age(now), stored.remaining(now)
    max_age, max_stale = request_directives.seconds("max-age"), request_directives.seconds("max-stale")
    if max_age is not None and age > max_age:
        return Use.VALIDATE
    min_fresh = request_directives.seconds("min-fresh")
    if min_fresh is not None and remaining < min_fresh:
        return Use.VALIDATE
    if remaining > 0:
        return Use.FRESH
    if not stored.may_be_stale:
        return Use.VALIDATE
    if max_stale is not None:
        any_age = request_directives.value("max-stale") is None
        if any_age or -remaining <= max_stale:
            return Use.STALE
    if max_age is None and min_fresh is None and -remaining < stored.stale_while:
        return Use.STALE_WHILE_REVALIDATE
    return Use.VALIDATE


def usable_on_error(stored: StoredResponse, request_directives: Directives, now: float) -> bool:
    """Return whether a stored response may stand in where the application fails (RFC 5861, section 4)."""
    if not stored.may_be_stale or "no-cache" in request_directives or "no-store" in request_directives:
        return False
    asked = request_directives.seconds("stale-if-error")
    return -stored.remaining(now) <= max(stored.stale_error, float(asked or 0))


def kept_for(stored: StoredResponse, now: float) -> float:
    """Return for how many seconds a response is worth keeping: until it can be neither used nor asked after."""
    after = max(stored.stale_while, stored.stale_error)
    if stored.etag is not None or stored.last_modified is not None:
        after = max(after, _VALIDATORS_KEPT)
    return max(0.0, stored.remaining(now)) + after
