"""Which addresses are the same, which belong to a site, and which are a trap.

Normalising follows RFC 3986 section 6.2 (case, default ports, dot segments, percent-encoding) and drops what never
changes a page: the fragment, tracking parameters and session ids. Parameters keep their order, since it may matter.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

LONGEST_ADDRESS = 2000
MOST_SEGMENTS = 24
MOST_PARAMETERS = 16
MOST_REPEATS = 3
MOST_PATTERNS = 50
LONGEST_PATTERN = 300

_DEFAULT_PORTS = {"http": 80, "https": 443}
_IGNORED = re.compile(r"[\x00-\x1f\x7f]")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE = "/%:@!$&'()*+,;=-._~"
_QUERY_SAFE = _PATH_SAFE + "?"
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH_SESSION = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/;?]*", re.IGNORECASE)
_DROPPED_PARAMETER = re.compile(
    r"(?:utm_\w+|mtm_\w+|pk_\w+|hsa_\w+|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|yclid|igshid|twclid|ttclid|mc_cid|mc_eid"
    r"|_ga|_gl|_hsenc|_hsmi|jsessionid|phpsessid|aspsessionid\w*|sessionid|session_id|cfid|cftoken)",
    re.IGNORECASE,
)
_PLAIN_REFERENCE = re.compile(r"[A-Za-z0-9_~./-]+")
_DIGITS = re.compile(r"\d+")
_LONG_HEXADECIMAL = re.compile(r"(?<![0-9a-z])(?=[a-f]*\d)[0-9a-f]{8,}(?![0-9a-z])", re.IGNORECASE)
_PARAMETER_VALUE = re.compile(r"=[^&]*")


class BadAddress(ValueError):
    """An address that no crawl can ask for."""


def normalise(address: str, base: str | None = None) -> str:
    """The one spelling of `address` (relative to `base`), pure ASCII and at most 2,000 characters.

    Raises:
        BadAddress: another scheme than http or https, no or an impossible host or port, a password in the address, or
            one that is too long.
    """
    head, mark, query = _IGNORED.sub("", address.strip()).partition("?")
    cleaned = f"{head.replace(chr(92), '/')}{mark}{query}"
    try:
        joined = urljoin(base, cleaned) if base is not None else cleaned
        parts = urlsplit(joined)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise BadAddress(f"{address[:200]!r} is no address: {error}") from error
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise BadAddress(f"{address[:200]!r} is not http or https")
    if "@" in parts.netloc:
        raise BadAddress("the address carries a user name or password")
    if not host or port == 0:
        raise BadAddress(f"{address[:200]!r} names no host or port 0")
    netloc = _host(host)
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        netloc = f"{netloc}:{port}"
    path = _without_dot_segments(_encoded(_PATH_SESSION.sub("", parts.path), _PATH_SAFE)) or "/"
    normal = urlunsplit((scheme, netloc, path, _query(parts.query), ""))
    if len(normal) > LONGEST_ADDRESS:
        raise BadAddress(f"the address has {len(normal)} characters; at most {LONGEST_ADDRESS} are followed")
    return normal


def origin(address: str) -> str:
    """Scheme, host and port of a normalised address, as in "https://example.org"."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def host_and_port(address: str) -> tuple[str, int]:
    """The host without brackets and the port, given or default, of a normalised address."""
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def shape(address: str) -> str:
    """The address with digits, long hexadecimal and parameter values folded: what a trap's addresses have in common."""
    head, mark, query = address.partition("?")
    scheme_end = head.find("/", head.find("//") + 2)
    path = _DIGITS.sub("#", _LONG_HEXADECIMAL.sub("#", head[scheme_end:]))
    folded = _DIGITS.sub("#", _PARAMETER_VALUE.sub("=*", query))
    return f"{head[:scheme_end]}{path}{mark}{folded}"


def trap(address: str) -> str | None:
    """Why a normalised address looks made up by a machine that never stops, or None."""
    parts = urlsplit(address)
    segments = [segment for segment in parts.path.split("/") if segment]
    if len(segments) > MOST_SEGMENTS:
        return f"the path has {len(segments)} segments; at most {MOST_SEGMENTS} are followed"
    if segments:
        segment, times = Counter(segments).most_common(1)[0]
        if times > MOST_REPEATS:
            return f"the path repeats {segment[:60]!r} {times} times; at most {MOST_REPEATS} are followed"
    parameters = [parameter.partition("=")[0] for parameter in parts.query.split("&") if parameter]
    if len(parameters) > MOST_PARAMETERS:
        return f"the query has {len(parameters)} parameters; at most {MOST_PARAMETERS} are followed"
    if parameters:
        name, times = Counter(parameters).most_common(1)[0]
        if times > MOST_REPEATS:
            return f"the query repeats {name[:60]!r} {times} times; at most {MOST_REPEATS} are followed"
    return None


@dataclass(frozen=True, slots=True)
class Patterns:
    """Shell-style patterns (`*`, `?`, `[ab]`) over addresses; one that starts with "/" is over path and query alone.

    Raises:
        ValueError: more than 50 patterns, or one that is empty or longer than 300 characters.
    """

    patterns: tuple[str, ...] = ()
    _compiled: tuple[tuple[bool, re.Pattern[str]], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.patterns) > MOST_PATTERNS:
            raise ValueError(f"{len(self.patterns)} patterns are given; at most {MOST_PATTERNS} are kept. Merge some.")
        for pattern in self.patterns:
            if not pattern.strip() or len(pattern) > LONGEST_PATTERN:
                raise ValueError(f"pattern {pattern[:80]!r} must have 1 to {LONGEST_PATTERN} characters")
        # fnmatch compiles to lookaheads that never backtrack into an earlier `*`, so no pattern is slow on any address.
        compiled = tuple((p.startswith("/"), re.compile(fnmatch.translate(p))) for p in self.patterns)
        object.__setattr__(self, "_compiled", compiled)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def match(self, address: str) -> bool:
        """Whether any pattern matches the whole of a normalised address."""
        path = address[address.find("/", address.find("//") + 2) :]
        return any(regex.match(path if on_path else address) is not None for on_path, regex in self._compiled)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which addresses belong to a site: its host (with or without "www."), under a path, by its patterns."""

    start: str
    path_prefix: str = "/"
    include: Patterns = field(default_factory=Patterns)
    exclude: Patterns = field(default_factory=Patterns)
    _origin: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_origin", f"{origin(self.start)}/")

    def same_host(self, address: str) -> bool:
        """Whether a normalised address is on the site's host, http and https alike."""
        # Most links of most pages, at a tenth of the cost.
        return address.startswith(self._origin) or _site_host(address) == _site_host(self.start)

    def contains(self, address: str) -> bool:
        """Whether a normalised address belongs. The start always does, and patterns never cut it off."""
        if address == self.start:
            return True
        if not self.same_host(address):
            return False
        path = urlsplit(address).path
        prefix = self.path_prefix.rstrip("/")
        if prefix and path != prefix and not path.startswith(prefix + "/"):
            return False
        if self.exclude.match(address):
            return False
        return not self.include or self.include.match(address)


def links(raw: Iterable[str], base: str) -> list[str]:
    """The normalised http(s) addresses among `raw`, sorted, each once; what is no address is left out."""
    found: set[str] = set()
    root, directory = _place(base)
    for reference in {link.partition("#")[0] for link in raw}:
        try:
            if root and _PLAIN_REFERENCE.fullmatch(reference) and "//" not in reference:
                # Most links of most pages, at a tenth of the cost.
                path = reference if reference.startswith("/") else directory + reference
                address = root + _without_dot_segments(path)
                found.add(address if len(address) <= LONGEST_ADDRESS else normalise(reference, base))
            else:
                found.add(normalise(reference, base))
        except BadAddress:
            continue
    return sorted(found)


def _place(base: str) -> tuple[str, str]:
    """The origin of a normalised address, and its path to the last slash; nothing where joining is not plain."""
    parts = urlsplit(base)
    if not base or "//" in parts.path:
        return "", ""
    return f"{parts.scheme}://{parts.netloc}", parts.path[: parts.path.rfind("/") + 1]


def _site_host(address: str) -> tuple[str, int]:
    host, port = host_and_port(address)
    return host.removeprefix("www."), 80 if port == 443 else port


def _host(host: str) -> str:
    bare = unquote(host).rstrip(".").lower()
    if ":" in bare:
        try:
            return f"[{ipaddress.IPv6Address(bare.partition('%')[0])}]"
        except ValueError as error:
            raise BadAddress(f"{host[:200]!r} is no host: {error}") from error
    if not bare.isascii():
        try:
            bare = bare.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise BadAddress(f"{host[:200]!r} is no host: {error}") from error
    if len(bare) > 253 or not _HOST.fullmatch(bare):
        raise BadAddress(f"{host[:200]!r} is no host")
    if _NUMBER.fullmatch(bare.rpartition(".")[2]):
        # "127.1", "0177.0.0.1" and "2130706433" are loopback to a resolver, and no address to who vets them.
        try:
            ipaddress.IPv4Address(bare)
        except ValueError as error:
            raise BadAddress(f"{host[:200]!r} is no host: write an IPv4 address as four decimal numbers") from error
    return bare


def _encoded(text: str, safe: str) -> str:
    whole = _STRAY_PERCENT.sub("%25", text)

    def unreserved(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if character in _UNRESERVED else match[0].upper()

    return quote(_PERCENT.sub(unreserved, whole), safe=safe, errors="replace")


def _query(query: str) -> str:
    kept = [
        parameter
        for parameter in query.split("&")
        if parameter and not _DROPPED_PARAMETER.fullmatch(parameter.partition("=")[0])
    ]
    return _encoded("&".join(kept), _QUERY_SAFE)


def _without_dot_segments(path: str) -> str:
    # RFC 3986 section 5.2.4 over whole segments.
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    resolved = "/".join(kept)
    return resolved if resolved.startswith("/") or not resolved else f"/{resolved}"
