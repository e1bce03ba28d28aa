"""The declaration of API keys: what they look like, what they may do, and where they are asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.errors import DeclarationError
from roadworthy.security.key import PREFIX

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SCOPE = re.compile(r"[a-z][a-z0-9_.:-]{0,63}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_ROUTE = re.compile(r"(?:(?P<method>[A-Z]+) )?(?P<path>/\S*)")
_LONGEST_STALE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Guarded:
    """Routes that ask for a key: their method, None for any, their path template, and the scopes that it must have.

    A path that ends in `/*` is everything below it, and itself; a `{parameter}` is one segment.
    """

    method: str | None
    path: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiKeysSpec:
    """A service's API keys.

    `header` is where a request shows one, `scheme` the word before it there, "" for none. `stale` is for how long a key
    that was verified goes on while the database is away, `lifetime` for how long one works that is issued without its
    own, None for until it is revoked.
    """

    name: str
    prefix: str
    scopes: tuple[str, ...] = ()
    guarded: tuple[Guarded, ...] = ()
    header: str = "authorization"
    scheme: str = "Bearer"
    stale: timedelta = timedelta(minutes=5)
    lifetime: timedelta | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(f"API keys {self.name!r} must have a name that matches [a-z][a-z0-9_]*; rename them")
        if not PREFIX.fullmatch(self.prefix):
            raise DeclarationError(
                f"API keys {self.name!r} have prefix={self.prefix!r}; write 2 to 31 lower-case letters, digits and "
                "single underscores, as in 'shop_live', by which people and scanners know whose key it is"
            )
        for scope in self.scopes:
            if not _SCOPE.fullmatch(scope):
                raise DeclarationError(
                    f"API keys {self.name!r} have the scope {scope!r}, which must match {_SCOPE.pattern}; rename it"
                )
        if len(set(self.scopes)) != len(self.scopes):
            raise DeclarationError(f"API keys {self.name!r} name a scope twice: {', '.join(self.scopes)}")
        for one in self.guarded:
            self.check_scopes(one.scopes, f"the route {one.path!r}")
        if not timedelta(0) <= self.stale <= _LONGEST_STALE:
            raise DeclarationError(
                f"API keys {self.name!r} have stale={self.stale}; it is from 0 to a day, for a revoked key may go on "
                "for so long in a process that cannot reach the database"
            )
        if self.lifetime is not None and self.lifetime < timedelta(minutes=1):
            raise DeclarationError(f"API keys {self.name!r} have lifetime={self.lifetime}; it is a minute at least")

    def check_scopes(self, scopes: tuple[str, ...], who: str) -> None:
        """Raise DeclarationError where `who` names a scope that is not declared."""
        for scope in scopes:
            if scope not in self.scopes:
                known = ", ".join(self.scopes) or "none"
                raise DeclarationError(
                    f"{who} asks API keys {self.name!r} for the scope {scope!r}, which they do not declare but: {known}"
                )


def header_of(text: str) -> tuple[str, str]:
    """Return the name in lower case and the scheme of "Authorization: Bearer", or of "X-API-Key", which has none.

    Raises DeclarationError for anything else.
    """
    name, colon, scheme = (part.strip() for part in text.partition(":"))
    if not _HEADER.fullmatch(name) or (colon and not _SCHEME.fullmatch(scheme)):
        raise DeclarationError(
            f"header={text!r} is no place for an API key; write 'Authorization: Bearer', or a header as 'X-API-Key'"
        )
    if name.lower() == "authorization" and not scheme:
        raise DeclarationError("header='Authorization' needs a scheme (RFC 9110, 11.4); write 'Authorization: Bearer'")
    if name.lower() in ("cookie", "host"):
        raise DeclarationError(f"header={text!r} is sent by browsers on their own; write 'Authorization: Bearer'")
    return name.lower(), scheme


def guarded_of(routes: Mapping[str, str | Sequence[str] | None]) -> tuple[Guarded, ...]:
    """Return what `routes` asks keys for: from "GET /api/*" or "/api/*" to a scope, several, or None for any key.

    Raises DeclarationError for a route that is none.
    """
    guarded = []
    for route, wanted in routes.items():
        found = _ROUTE.fullmatch(route)
        if found is None or "*" in found["path"].removesuffix("/*"):
            raise DeclarationError(
                f"routes= of API keys has {route!r}; write '/api/*' for all below, 'GET /api/items/{{id}}' for one"
            )
        scopes = () if wanted is None else (wanted,) if isinstance(wanted, str) else tuple(wanted)
        guarded.append(Guarded(found["method"], found["path"], scopes))
    return tuple(guarded)
