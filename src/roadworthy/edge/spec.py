"""What browsers and CDNs may keep of a response, declared once: policies, their routes, and what stands in front."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from roadworthy.edge.tags import CDNS, Front, TagForm, check_template, parameters
from roadworthy.errors import DeclarationError

Kind = Literal["immutable", "shared", "private", "secret"]
Credentials = Literal["bypass", "ignored"]

LONGEST = timedelta(days=366)
SAFE_METHODS = ("GET", "HEAD")
ANYTHING = "*"

RESPONSES = "http-responses"
"""The name of the cache in which responses of routes with cached=True are kept."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_METHOD = re.compile(r"[A-Z]+")
_PATH = re.compile(r"/(?:[^\s{}?#]|\{[A-Za-z_]\w*(?::\w+)?\})*")
_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)(?::\w+)?\}")
_MEDIA_KIND = re.compile(r"[a-z0-9.+-]+/(?:\*|[a-z0-9.+-]+)")
_VALUE = re.compile(r"[A-Za-z0-9._-]+")
_PERSONAL = {"authorization", "cookie"}


@dataclass(frozen=True, slots=True)
class Vary:
    """A request header that a response depends on; with `values`, only by the first of them that the header has."""

    header: str
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What may keep a response, for how long; made by `immutable`, `shared`, `private` and `secret`.

    Browsers keep it for `browser`, shared caches for `edge`; None says that shared caches must not. For `stale` after
    that a shared cache serves it while it fetches it anew, for `stale_if_error` where that fails. `missing` is the
    lifetime of a 404 or 410. `vary` are the request headers that it depends on, `query` the query parameters; None is
    all of them. `etag` has one computed. `cookies` and `authorization` say what becomes of a request or a response
    with them: "bypass" keeps it from being shared, "ignored" shares it all the same.
    """

    kind: Kind
    browser: timedelta = timedelta(0)
    edge: timedelta | None = None
    stale: timedelta = timedelta(0)
    stale_if_error: timedelta = timedelta(0)
    missing: timedelta = timedelta(0)
    vary: tuple[Vary, ...] = ()
    query: tuple[str, ...] | None = None
    etag: bool = True
    cookies: Credentials = "bypass"
    authorization: Credentials = "bypass"

    def __post_init__(self) -> None:
        for option in ("browser", "edge", "stale", "stale_if_error", "missing"):
            value = getattr(self, option)
            if value is None:
                continue
            if not timedelta(0) <= value <= LONGEST:
                raise DeclarationError(f"{self.kind}() has {option}={value}; it must be 0 to {LONGEST.days} days")
            if value % timedelta(seconds=1):
                raise DeclarationError(f"{self.kind}() has {option}={value}; HTTP knows whole seconds, so round it")
        for option in ("cookies", "authorization"):
            if getattr(self, option) not in ("bypass", "ignored"):
                raise DeclarationError(
                    f"{self.kind}() has {option}={getattr(self, option)!r}; write 'bypass' or 'ignored'"
                )
        if self.edge == timedelta(0):
            raise DeclarationError(
                f"{self.kind}() has edge=0, which keeps nothing; give a lifetime, or use private() or secret()"
            )
        self._check_key()

    def _check_key(self) -> None:
        seen = set()
        for vary in self.vary:
            name = vary.header.lower()
            if not _TOKEN.fullmatch(vary.header) or name == "*":
                raise DeclarationError(f"{self.kind}() varies by {vary.header!r}; name a request header")
            if name in _PERSONAL:
                raise DeclarationError(
                    f"{self.kind}() varies by {vary.header!r}, which gives every visitor an entry of their own; use "
                    "private()"
                )
            if name in seen:
                raise DeclarationError(f"{self.kind}() varies by {vary.header!r} twice; name it once")
            seen.add(name)
            for value in vary.values or ():
                if not _VALUE.fullmatch(value):
                    raise DeclarationError(
                        f"{self.kind}() varies by {vary.header!r} with the value {value!r}; it must match "
                        f"{_VALUE.pattern}"
                    )
        for parameter in self.query or ():
            if not _VALUE.fullmatch(parameter):
                raise DeclarationError(
                    f"{self.kind}() counts the query parameter {parameter!r}; it must match {_VALUE.pattern}"
                )

    @property
    def is_shared(self) -> bool:
        """Whether shared caches may keep a response."""
        return self.edge is not None

    @property
    def is_treated(self) -> bool:
        """Whether something is taken from a request, so that what does not count cannot change the response."""
        return self.is_shared and (
            self.query is not None
            or any(vary.values is not None for vary in self.vary)
            or "ignored" in (self.cookies, self.authorization)
        )


def immutable(*, lifetime: timedelta = timedelta(days=365)) -> Policy:
    """Return the policy of what never changes under its URL, such as files with a hash in their name.

    Everybody keeps it for `lifetime`, and browsers do not ask again even on a reload (RFC 8246).
    """
    if lifetime < timedelta(days=1):
        raise DeclarationError(f"immutable() has lifetime={lifetime}; what changes within a day is shared()")
    return Policy("immutable", lifetime, lifetime, missing=timedelta(seconds=10), etag=False)


def shared(
    *,
    edge: timedelta,
    browser: timedelta = timedelta(0),
    stale: timedelta = timedelta(0),
    stale_if_error: timedelta = timedelta(0),
    missing: timedelta = timedelta(seconds=60),
    vary: Sequence[str] | Mapping[str, Sequence[str] | None] = (),
    query: Sequence[str] | None = None,
    etag: bool = True,
    cookies: Credentials = "bypass",
    authorization: Credentials = "bypass",
) -> Policy:
    """Return the policy of what is the same for everybody: CDNs keep it for `edge`, browsers for `browser`.

    By default browsers ask each time, and mostly get a 304. `stale` is for how long after `edge` an old one is served
    while a new one is fetched (stale-while-revalidate, RFC 5861), `stale_if_error` where that fails. A 404 or 410 is
    kept for `missing`.

    `vary` names the request headers that count; a mapping gives each the only values that matter, and anything else
    reaches the handler as if the header were absent. `query` names the only query parameters that count. Both together
    with the URL are the key under which a copy is found.

    A response that sets a cookie, or answers a request with Authorization, is never shared. `authorization="ignored"`
    says that it does not matter to what is answered; `cookies="ignored"` does so of cookies, which are then neither
    set by what is shared nor passed on by the proxies that are configured from this.
    """
    if isinstance(vary, str) or isinstance(query, str):
        raise DeclarationError(f"shared() has vary={vary!r}, query={query!r}; write a sequence, as in ('q',)")
    if isinstance(vary, Mapping):
        varies = tuple(Vary(name, None if values is None else tuple(values)) for name, values in vary.items())
    else:
        varies = tuple(Vary(name) for name in vary)
    return Policy(
        "shared",
        browser,
        edge,
        stale,
        stale_if_error,
        missing,
        varies,
        None if query is None else tuple(query),
        etag,
        cookies,
        authorization,
    )


def private(*, browser: timedelta = timedelta(0), etag: bool = True) -> Policy:
    """Return the policy of what is one person's: their browser keeps it for `browser`, and nobody else does.

    By default the browser asks each time, with the ETag of what it has.
    """
    return Policy("private", browser, etag=etag)


def secret() -> Policy:
    """Return the policy of what nobody may keep, not even on the person's own disk."""
    return Policy("secret", etag=False)


@dataclass(frozen=True, slots=True)
class FrontSpec:
    """A CDN or proxy in front of the service. `tag_header` is where it looks for tags, if not where it usually does."""

    name: Front
    tag_header: str | None = None

    def __post_init__(self) -> None:
        if self.name not in CDNS:
            raise DeclarationError(f"nothing is known of {self.name!r}; name one of {', '.join(CDNS)}")
        if self.tag_header is None:
            return
        if self.name != "cloudfront":
            raise DeclarationError(f"{self.name!r} has tag_header=, but only CloudFront's can be chosen; leave it out")
        if not _TOKEN.fullmatch(self.tag_header):
            raise DeclarationError(f"{self.name!r} has tag_header={self.tag_header!r}; name a header")

    @property
    def form(self) -> TagForm | None:
        """How it wants tags; None where it knows none."""
        form = CDNS[self.name]
        return form if form is None or self.tag_header is None else replace(form, header=self.tag_header)


@dataclass(frozen=True, slots=True)
class EdgeSpec:
    """A policy and what it is for.

    `name` is a route ("GET /search"), a media kind ("image/*") for responses of no declared route, or "*" for all
    others. `tags` are templates over the route's path and query parameters. `cached` has the service's own HTTP cache
    keep what is shared.
    """

    name: str
    policy: Policy
    tags: tuple[str, ...] = ()
    cached: bool = False

    def __post_init__(self) -> None:
        if self.route is None:
            if self.name != ANYTHING and not _MEDIA_KIND.fullmatch(self.name):
                raise DeclarationError(
                    f"edge {self.name!r} is neither a route, as in 'GET /search', nor a media kind, as in 'image/*', "
                    "nor '*'; write one of them"
                )
            if self.cached:
                raise DeclarationError(f"edge {self.name!r} has cached=True, which needs a route; name it")
        self._check_policy()
        self._check_tags()

    def _check_policy(self) -> None:
        policy, route = self.policy, self.route
        if route is None:
            if policy.query is not None or any(vary.values for vary in policy.vary):
                raise DeclarationError(
                    f"edge {self.name!r} has a key of its own, which must be known before the response; name a route"
                )
        elif route[0] not in SAFE_METHODS and policy.kind not in ("private", "secret"):
            raise DeclarationError(
                f"edge {self.name!r} is {policy.kind}, but caches keep no answer to {route[0]}; use secret()"
            )
        if self.cached and not policy.is_shared:
            raise DeclarationError(
                f"edge {self.name!r} has cached=True, but {policy.kind}() lets no shared cache keep it; use shared()"
            )

    def _check_tags(self) -> None:
        if self.tags and not self.policy.is_shared:
            raise DeclarationError(
                f"edge {self.name!r} has tags, but {self.policy.kind}() lets no shared cache keep it; leave them out"
            )
        if self.tags and self.policy.kind == "immutable":
            raise DeclarationError(
                f"edge {self.name!r} is immutable and has tags, but what never changes is never purged and browsers "
                "would not ask again; leave them out, or use shared()"
            )
        known = self.path_parameters
        for template in self.tags:
            check_template(self.name, template)
            for name in parameters(template):
                if name in known or (self.route is not None and self.policy.query is None):
                    continue
                if self.route is not None and name in (self.policy.query or ()):
                    continue
                raise DeclarationError(
                    f"edge {self.name!r} has the tag {template!r}, but no parameter {name!r}; it has: "
                    f"{', '.join((*known, *(self.policy.query or ()))) or 'none'}"
                )

    @property
    def route(self) -> tuple[str, str] | None:
        """The method and the path template; None where it is no route."""
        method, space, path = self.name.partition(" ")
        if not space:
            return None
        if not _METHOD.fullmatch(method) or not _PATH.fullmatch(path):
            raise DeclarationError(
                f"edge {self.name!r} is no route; write a method, a space and the path as the application declares it, "
                "as in 'GET /sites/{name}'"
            )
        return method, path

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names of the parameters in the path."""
        return () if self.route is None else tuple(_PARAMETER.findall(self.route[1]))
