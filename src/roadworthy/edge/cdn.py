"""The declaration of the CDNs before a service: which they are, what they take, and where their credentials come from.

Credentials are never part of a declaration: it names the environment variables that hold them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from roadworthy.edge.pace import Allowance
from roadworthy.edge.purge import Kind, Purge
from roadworthy.edge.tags import CDNS
from roadworthy.errors import DeclarationError, InvalidPurge

Plan = Literal["free", "pro", "business", "enterprise"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

# A response with a longer tag is not kept there.
_LONGEST_TAGS = {name: form.longest for name, form in CDNS.items() if form is not None}

_CLOUDFLARE_PLANS: Mapping[str, Allowance] = {
    "free": Allowance(5 / 60, 25),
    "pro": Allowance(5, 25),
    "business": Allowance(10, 50),
    "enterprise": Allowance(50, 500),
}


@dataclass(frozen=True, slots=True)
class Cloudflare:
    """A Cloudflare zone, purged by its API's `purge_cache`, as fast as the `plan` allows."""

    zone: str
    plan: Plan
    token: str
    name: str
    base_url: str

    def __post_init__(self) -> None:
        _check(self.name, self.base_url, {"zone": self.zone}, (self.token,))
        if self.plan not in _CLOUDFLARE_PLANS:
            raise DeclarationError(
                f"CDN {self.name!r} has plan={self.plan!r}; it is one of {', '.join(_CLOUDFLARE_PLANS)}"
            )

    @property
    def sizes(self) -> Mapping[Kind, int]:
        """How many values of a kind one call takes."""
        urls = 500 if self.plan == "enterprise" else 100
        return {"url": urls, "tag": 100, "prefix": 100, "everything": 1}

    @property
    def allowance(self) -> Allowance | None:
        """How fast it may be asked."""
        return _CLOUDFLARE_PLANS[self.plan]

    @property
    def longest_tag(self) -> int:
        """The longest tag that it can know, in characters."""
        return _LONGEST_TAGS["cloudflare"]

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables without which it cannot be asked."""
        return (self.token,)


@dataclass(frozen=True, slots=True)
class Fastly:
    """A Fastly service. `soft` marks what is purged stale instead of removing it; everything is always removed."""

    service: str
    soft: bool
    token: str
    allowance: Allowance | None
    name: str
    base_url: str

    def __post_init__(self) -> None:
        _check(self.name, self.base_url, {"service": self.service}, (self.token,))

    @property
    def sizes(self) -> Mapping[Kind, int]:
        """How many values of a kind one call takes; Fastly has no purge by prefix."""
        return {"url": 1, "tag": 256, "everything": 1}

    @property
    def longest_tag(self) -> int:
        """The longest tag that it can know, in characters."""
        return _LONGEST_TAGS["fastly"]

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables without which it cannot be asked."""
        return (self.token,)


@dataclass(frozen=True, slots=True)
class CloudFront:
    """A CloudFront distribution; tags need its `CacheTagConfig`. Of the hosts of URLs it takes no notice."""

    distribution: str
    access_key: str
    secret_key: str
    session_token: str
    allowance: Allowance | None
    region: str
    name: str
    base_url: str

    def __post_init__(self) -> None:
        variables = (self.access_key, self.secret_key, self.session_token)
        _check(self.name, self.base_url, {"distribution": self.distribution, "region": self.region}, variables)

    @property
    def sizes(self) -> Mapping[Kind, int]:
        """How many values of a kind one call takes: a third of what may be in progress, so that it fits beside others.

        At most 3,000 paths and tags, and 15 with a wildcard, are in progress for a distribution at once.
        """
        return {"url": 1000, "tag": 1000, "prefix": 5, "everything": 1}

    @property
    def longest_tag(self) -> int:
        """The longest tag that it can know, in characters."""
        return _LONGEST_TAGS["cloudfront"]

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables without which it cannot be asked."""
        return (self.access_key, self.secret_key)


@dataclass(frozen=True, slots=True)
class Varnish:
    """Varnish servers, each asked for itself. `token` names the variable of a shared secret, if they want one."""

    urls: tuple[str, ...]
    token: str | None
    allowance: Allowance | None
    name: str

    def __post_init__(self) -> None:
        if not self.urls or len(set(self.urls)) != len(self.urls):
            raise DeclarationError(f"CDN {self.name!r} has urls={list(self.urls)}; name each server once, one at least")
        for url in self.urls:
            _check(self.name, url, {}, () if self.token is None else (self.token,), clear=self.token is None)

    @property
    def sizes(self) -> Mapping[Kind, int]:
        """How many values of a kind one call takes: so many tags as fit into a header."""
        return {"url": 1, "tag": 10, "prefix": 1, "everything": 1}

    @property
    def longest_tag(self) -> int:
        """The longest tag that it can know, in characters."""
        return _LONGEST_TAGS["varnish"]

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables without which it cannot be asked."""
        return () if self.token is None else (self.token,)


Cdn = Cloudflare | Fastly | CloudFront | Varnish


def check(purge: Purge, cdns: Iterable[Cdn]) -> None:
    """Refuse what one of the CDNs cannot purge.

    Raises:
        InvalidPurge: it has no purge of that kind.
    """
    for cdn in cdns:
        for kind, _ in purge.values:
            if kind not in cdn.sizes:
                raise InvalidPurge(
                    f"CDN {cdn.name!r} has no purge by {kind}; give what belongs together a tag, and purge that"
                )


def cloudflare(
    *,
    zone: str,
    plan: Plan = "free",
    token: str = "CLOUDFLARE_API_TOKEN",  # noqa: S107 (the name of a variable, as below)
    name: str = "cloudflare",
    base_url: str = "https://api.cloudflare.com",
) -> Cloudflare:
    """Name a Cloudflare zone by its id.

    `plan` decides how fast it is asked. `token` is the environment variable that holds an API token with the
    permission *Cache Purge*. `name` tells it apart in metrics and logs.
    """
    return Cloudflare(zone, plan, token, name, base_url)


def fastly(
    *,
    service: str,
    soft: bool = True,
    token: str = "FASTLY_API_TOKEN",  # noqa: S107
    calls_per_second: float | None = None,
    name: str = "fastly",
    base_url: str = "https://api.fastly.com",
) -> Fastly:
    """Name a Fastly service by its id.

    A `soft` purge lets stale copies be served while fresh ones are fetched. `token` is the environment variable that
    holds an API token of the scope `purge_select`, and `purge_all` for purging everything. `calls_per_second` bounds
    how fast each process asks.
    """
    return Fastly(service, soft, token, _allowance(calls_per_second), name, base_url)


def cloudfront(
    *,
    distribution: str,
    access_key: str = "AWS_ACCESS_KEY_ID",
    secret_key: str = "AWS_SECRET_ACCESS_KEY",  # noqa: S107
    session_token: str = "AWS_SESSION_TOKEN",  # noqa: S107
    calls_per_second: float | None = None,
    region: str = "us-east-1",
    name: str = "cloudfront",
    base_url: str = "https://cloudfront.amazonaws.com",
) -> CloudFront:
    """Name a CloudFront distribution by its id.

    `access_key`, `secret_key` and `session_token` are the environment variables that hold credentials with the
    permission `cloudfront:CreateInvalidation`; the last may be unset. `region` is the one that requests are signed for.
    """
    limit = _allowance(calls_per_second)
    return CloudFront(distribution, access_key, secret_key, session_token, limit, region, name, base_url)


def varnish(
    *, urls: Sequence[str], token: str | None = None, calls_per_second: float | None = None, name: str = "varnish"
) -> Varnish:
    """Name Varnish servers by the addresses at which they take `BAN` and `PURGE`, as in ["http://10.0.0.7:6081"].

    `token` is the environment variable of a secret that goes along as `Authorization: Bearer`, over TLS alone.
    """
    return Varnish(tuple(urls), token, _allowance(calls_per_second), name)


def _allowance(calls_per_second: float | None) -> Allowance | None:
    return None if calls_per_second is None else Allowance(calls_per_second, max(1, round(calls_per_second)))


def _check(name: str, base_url: str, ids: Mapping[str, str], variables: Sequence[str], *, clear: bool = False) -> None:
    if not _NAME.fullmatch(name):
        raise DeclarationError(f"CDN name {name!r} must match [a-z][a-z0-9_-]*, 50 characters at most; rename it")
    for option, value in ids.items():
        if not _ID.fullmatch(value):
            raise DeclarationError(f"CDN {name!r} has {option}={value!r}; copy the id as the CDN's console shows it")
    for variable in variables:
        if not _VARIABLE.fullmatch(variable):
            # Not repeated: it may be the secret itself.
            raise DeclarationError(
                f"CDN {name!r} is to find its credentials in a variable whose name is not in capitals; give the name "
                "of an environment variable, never the secret"
            )
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise DeclarationError(f"CDN {name!r} needs an address as in 'https://host', without user and query")
    if parts.scheme == "http" and not clear and parts.hostname not in _LOOPBACK:
        raise DeclarationError(f"CDN {name!r} would send its credentials in the clear to {base_url}; use https")
