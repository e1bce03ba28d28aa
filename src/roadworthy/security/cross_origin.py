"""Which other origins' pages may read a service's responses (CORS, as the Fetch standard has it), decided.

A wildcard with credentials would hand every site what its visitors may see, and a pattern that is not anchored, or has
a dot that means any character, matches sites that anybody can register: both are refused when they are declared. So is
`null`, which every sandboxed frame has for its origin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.errors import DeclarationError

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

_ORIGIN = re.compile(r"https?://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_BELOW = re.compile(r"(https?://)\*(\.[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]{1,5})?)")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BARE_DOT = re.compile(r"(?<!\\)(?:\\\\)*\.(?![*+?{])")
_CLASS = re.compile(r"\[[^\]]*\]")
_STRANGERS = ("null", "https://evil.example", "http://evil.example", "https://evil", "file://", "")
# Headers that a page may send without asking (Fetch, CORS-safelisted request headers).
_UNASKED = frozenset({"accept", "accept-language", "content-language", "content-type", "range"})
_LONGEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CorsSpec:
    """Whose pages may read the responses of all paths that begin with `name`.

    `origins` are exact ("https://app.example.org"), all names below one ("https://*.example.org"), compiled patterns,
    or "*" alone for everybody, which goes without `credentials`. `methods` and `headers` are those of requests,
    `expose` the response headers that a page may read, `max_age` for how long a browser remembers what it was allowed.

    Raises DeclarationError where a value would let in more than it says.
    """

    name: str
    origins: tuple[str | re.Pattern[str], ...]
    methods: tuple[str, ...] = METHODS
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        """Refuse what lets in strangers."""
        if not self.name.startswith("/"):
            raise DeclarationError(f"CORS is declared for {self.name!r}; a path begins with '/'")
        if not self.origins:
            raise DeclarationError(f"CORS for {self.name!r} names no origin; name one, or declare nothing")
        if self.everybody and self.credentials:
            raise DeclarationError(
                f"CORS for {self.name!r} lets every site use its visitors' credentials; name the origins, or leave "
                "credentials=False"
            )
        if "*" in self.origins and len(self.origins) > 1:
            raise DeclarationError(f"CORS for {self.name!r} has '*' among other origins; it stands alone")
        for origin in self.origins:
            _check(self.name, origin)
        for what, words in (("methods", self.methods), ("headers", self.headers), ("expose", self.expose)):
            for word in words:
                if not _TOKEN.fullmatch(word) or word == "*":
                    raise DeclarationError(f"CORS for {self.name!r} has {word!r} in {what}; name each one")
        if not timedelta(0) <= self.max_age <= _LONGEST:
            raise DeclarationError(f"CORS for {self.name!r} has max_age={self.max_age}; it is from 0 to a day")

    @property
    def everybody(self) -> bool:
        """Whether any site may read, without credentials."""
        return self.origins == ("*",)


class Origins:
    """The origins of one declaration, ready to be asked."""

    def __init__(self, origins: Sequence[str | re.Pattern[str]]) -> None:
        """Compile them."""
        self._exact = {origin for origin in origins if isinstance(origin, str) and "*" not in origin}
        self._patterns = [_pattern(origin) for origin in origins if origin not in self._exact and origin != "*"]

    def __contains__(self, origin: str) -> bool:
        """Whether pages of this origin may read."""
        return origin in self._exact or any(pattern.fullmatch(origin) for pattern in self._patterns)


def unasked(header: str) -> bool:
    """Return whether a page may send a header, by its name in lower case, without asking."""
    return header in _UNASKED


def _pattern(origin: str | re.Pattern[str]) -> re.Pattern[str]:
    if isinstance(origin, re.Pattern):
        return origin
    found = _BELOW.fullmatch(origin)
    assert found is not None  # noqa: S101 (checked when it was declared)  # nosec B101
    return re.compile(rf"{found[1]}[a-z0-9-]+(?:\.[a-z0-9-]+)*{re.escape(found[2])}")


def _check(name: str, origin: str | re.Pattern[str]) -> None:
    if isinstance(origin, str):
        if origin == "*" or _ORIGIN.fullmatch(origin) or _BELOW.fullmatch(origin):
            return
        raise DeclarationError(
            f"CORS for {name!r} has the origin {origin!r}; write scheme and host in lower case without a path, as in "
            "'https://app.example.org' or 'https://*.example.org'"
        )
    text = origin.pattern
    if not text.startswith(("^http", r"\Ahttp")) or not text.endswith(("$", r"\Z")) or origin.flags & re.MULTILINE:
        raise DeclarationError(
            f"CORS for {name!r} has the pattern {text!r}, which is not anchored; begin it with '^https://' and end it "
            "with '$'"
        )
    if _BARE_DOT.search(_CLASS.sub("", text)):
        raise DeclarationError(rf"CORS for {name!r} has the pattern {text!r}, where a dot is any character; write \.")
    if any(origin.fullmatch(stranger) for stranger in _STRANGERS):
        raise DeclarationError(f"CORS for {name!r} has the pattern {text!r}, which lets any site in; name its domain")
