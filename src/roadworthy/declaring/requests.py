"""What a service declares of who may ask, how much and how often, and what may be kept of the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from roadworthy.cache.spec import CacheSpec
from roadworthy.declaration import declaring_place
from roadworthy.declaring.base import Declaring
from roadworthy.duration import days, hours, minutes, seconds
from roadworthy.edge.cdn import Cdn as PurgedCdn
from roadworthy.edge.spec import RESPONSES, EdgeSpec, FrontSpec
from roadworthy.edge.spec import Policy as EdgePolicy
from roadworthy.edge.tags import Front
from roadworthy.errors import DeclarationError
from roadworthy.handles.api_keys import ApiKeys
from roadworthy.handles.limit import RateLimit
from roadworthy.handles.purge import Cdns
from roadworthy.limits.quota import Algorithm
from roadworthy.limits.spec import KEYS, LEASE, STORE_TIMEOUT, By, LimitSpec, OnError, quotas_of
from roadworthy.limits.spec import Rate as LimitRate
from roadworthy.resilience.shedding_spec import SheddingSpec
from roadworthy.security.bounds import ANY, BoundsSpec, HostsSpec
from roadworthy.security.browsers import BrowsersSpec, Opener, Reach, Referrer
from roadworthy.security.content_policy import ContentPolicy
from roadworthy.security.cross_origin import METHODS, CorsSpec
from roadworthy.security.keys_spec import ApiKeysSpec, guarded_of, header_of


class Requests(Declaring):
    """Declares who may ask, how much and how often, and what may be kept of the answers."""

    def api_keys(
        self,
        name: str = "api",
        *,
        prefix: str,
        scopes: Sequence[str] = (),
        routes: Mapping[str, str | Sequence[str] | None] | None = None,
        header: str = "Authorization: Bearer",
        stale: timedelta = minutes(5),
        lifetime: timedelta | None = None,
    ) -> ApiKeys:
        """Declare API keys, which programs show to say who they are. They are kept in the database, as digests.

        `prefix` begins each key, so that people and scanners of leaked secrets know whose it is. `scopes` are what keys
        can be allowed to do. `routes` are those that ask for a key: "/api/*" for all below, "GET /api/items/{id}" for
        one, each with the scopes that the key must have, or None for any key; what several match, all of them hold.
        `header` is where a key is shown: "Authorization: Bearer", or a name such as "X-API-Key".

        `stale` is for how long a key that was verified works on while the database is away, `lifetime` for how long
        one does that is issued without its own.
        """
        if isinstance(scopes, str):
            raise DeclarationError(f"API keys {name!r} have scopes={scopes!r}; write a sequence, as in ({scopes!r},)")
        guarded = guarded_of(routes or {})
        spec = ApiKeysSpec(name, prefix, tuple(scopes), guarded, *header_of(header), stale, lifetime)
        for other in self.declared.of("api_keys"):
            if other.prefix == prefix:
                raise DeclarationError(
                    f"{declaring_place()}: API keys {name!r} have the prefix {prefix!r} of {other.name!r}; change it"
                )
        self.declared.add("api_keys", spec)
        return ApiKeys(self, spec)

    def limit(
        self,
        name: str,
        rate: LimitRate | Sequence[LimitRate],
        *,
        by: By = "address",
        routes: Sequence[str] = (),
        cost: int = 1,
        burst: int | None = None,
        algorithm: Algorithm = "gcra",
        on_error: OnError = "allow",
        lease: float = LEASE,
        store_timeout: timedelta = STORE_TIMEOUT,
        keys: int = KEYS,
        legacy_headers: bool = False,
        shadow: bool = False,
    ) -> RateLimit:
        """Declare a rate limit: how often something may happen for each key, over all processes.

        `rate` is a text ("100/minute", "5/15 minutes"), a preset a minute ("strict" 10, "standard" 100, "lenient" 500,
        "webhook" 1,000), a `Quota`, or several of them, of which all must admit. `burst` is how many may come at once
        after a pause, by default all; `algorithm` how they are counted, see `Quota`.

        `routes` are limited without being asked ("GET /search", "*" for all), for `cost` units a request; without any,
        the limit applies where code asks it. `by` is whose key a request has: "address", behind the trusted proxies;
        "api_key", a verified one, else the address; "user"; "route"; or a function of the ASGI scope that returns a
        text, None for a request that is not limited. With `by=None`, code gives the keys.

        It counts in the Redis of `REDIS_URL`, else in the service's database, else in each process's memory. `on_error`
        is what happens while that does not answer within `store_timeout`: "allow", "deny", or "local", which counts a
        share of the quota in each process, divided by their number.

        So that most decisions ask nobody, a process takes units ahead, as many as it will soon need and at most the
        share `lease` of what a key may have at once. In any stretch as long as the period, at most that many for each
        process are admitted beyond the quota's `most_in_period`: with "100/minute" and four processes, 40 by default.
        0 switches that off.

        `keys` is how many keys a process remembers, `legacy_headers` sends X-RateLimit-* too, and `shadow` decides and
        counts but refuses nobody.
        """
        if isinstance(routes, str):
            raise DeclarationError(f"limit {name!r} has routes={routes!r}; write a sequence, as in [{routes!r}]")
        spec = LimitSpec(
            name,
            quotas_of(name, rate, burst=burst, algorithm=algorithm),
            by,
            tuple(routes),
            cost,
            on_error,
            lease,
            store_timeout,
            keys,
            legacy_headers,
            shadow,
        )
        self.declared.add("limit", spec)
        return RateLimit(self, spec)

    def shedding(
        self,
        *,
        critical: Sequence[str] = (),
        low: Sequence[str] = (),
        slower: float = 1.4,
        initial: int = 20,
        most: int = 1000,
        retry_after: timedelta = seconds(2),
    ) -> None:
        """Declare that requests are turned away at once, with a 503, while there are more than can be answered.

        How many may be under way is found out by their latency: at the limit it is `slower` times the usual one.
        Routes in `low` ("GET /export") are turned away first, then others that read, those that write, and routes in
        `critical`; probes never. `initial` is the limit of a process before it knows better, `most` the highest it may
        find. Clients are told to come back after `retry_after` to twice that.
        """
        spec = SheddingSpec(tuple(critical), tuple(low), slower, initial, most, retry_after)
        self.declared.add("shedding", spec)

    def bounds(
        self,
        what: str = ANY,
        *,
        body: int | None = None,
        depth: int | None = None,
        deadline: timedelta | None = None,
    ) -> None:
        """Declare what a request may be and take, of a route ("POST /uploads") or of all others.

        `body` is the most bytes of its body (1 MiB), `depth` how deeply its JSON may be nested (64), `deadline` the
        time until the response begins (30 s), 0 for any. A stream that has begun goes on.
        """
        self.declared.add("bounds", BoundsSpec(what, body, depth, deadline))

    def hosts(self, *names: str) -> None:
        """Declare the hosts that the service answers for, as "api.example.org" or "*.example.org"; others get a 400."""
        self.declared.add("hosts", HostsSpec(names))

    def cors(
        self,
        *origins: str | re.Pattern[str],
        path: str = "/",
        methods: Sequence[str] = METHODS,
        headers: Sequence[str] = (),
        expose: Sequence[str] = (),
        credentials: bool = False,
        max_age: timedelta = hours(1),
    ) -> None:
        """Declare whose pages may read what begins with `path`; pages of the service's own always may.

        `origins` are exact, "https://*.example.org", an anchored pattern, or "*" alone and without `credentials`.
        `methods` and `headers` are those that such a page may use, `expose` the response headers that it may read,
        `max_age` for how long a browser remembers.
        """
        spec = CorsSpec(path, origins, tuple(methods), tuple(headers), tuple(expose), credentials, max_age)
        self.declared.add("cors", spec)

    def browsers(
        self,
        *,
        content: ContentPolicy | None = None,
        referrer: Referrer = "same-origin",
        opener: Opener = "same-origin",
        resource: Reach = "same-origin",
        permissions: Mapping[str, tuple[str, ...]] | None = None,
        strict_transport: timedelta = days(730),
        subdomains: bool = False,
        preload: bool = False,
        https: bool = False,
    ) -> None:
        """Declare what every response tells browsers, where the defaults do not fit; the application's own headers win.

        `content` is what a page may load, by default only what is the service's own, and no inline script. `referrer`,
        `opener` and `resource` are the values of Referrer-Policy, Cross-Origin-Opener-Policy and -Resource-Policy,
        `permissions` the origins that may use a power of the browser's. Over HTTPS, browsers insist on that for
        `strict_transport`, with `subdomains` there too; `preload` asks to be in their lists. `https` tells them so
        always, for a proxy that ends TLS and does not say it.
        """
        content = content or ContentPolicy()
        granted = permissions or {}
        self.declared.add(
            "browsers",
            BrowsersSpec(content, referrer, opener, resource, granted, strict_transport, subdomains, preload, https),
        )

    def edge(self, what: str, policy: EdgePolicy, *, tags: Sequence[str] = (), cached: bool = False) -> None:
        """Declare what browsers and CDNs may keep: `immutable()`, `shared()`, `private()` or `secret()`.

        `what` is a route ("GET /search"), a media kind ("image/*") for responses of no declared route, or "*" for all
        others. Headers that the application sets itself stay. `tags` are templates over the path and query parameters
        ("site:{site}"), by which a CDN is told to let go of what it keeps; `edge_tags()` adds more. `cached` has the
        service's own HTTP cache keep it too.
        """
        if isinstance(tags, str):
            raise DeclarationError(f"edge {what!r} has tags={tags!r}; write a sequence, as in ({tags!r},)")
        self.declared.add("edge", EdgeSpec(what, policy, tuple(tags), cached))
        if cached and policy.edge is not None:
            self._keep_responses(policy.edge + max(policy.stale, policy.stale_if_error))

    def _keep_responses(self, lifetime: timedelta) -> None:
        """Have a cache that keeps responses for at least so long."""
        key = ("cache", RESPONSES)
        known: CacheSpec | None = self.declared.specs.get(key)
        if known is None:
            self.declared.add("cache", CacheSpec(RESPONSES, lifetime, jitter=0.0, early=0.0))
        elif known.ttl < lifetime:
            self.declared.specs[key] = replace(known, ttl=lifetime)

    def behind(self, name: Front, *, tag_header: str | None = None) -> None:
        """Declare that a CDN or proxy stands before the service, so that it gets its own form of tags and lifetimes.

        `name` is "cloudflare", "fastly", "cloudfront", "varnish" or "nginx"; those of `purge_with` are known already.
        `tag_header` is the header that a CloudFront distribution reads tags from, where that is not the usual one.
        """
        self.declared.add("front", FrontSpec(name, tag_header))

    def purge_with(self, *cdns: PurgedCdn) -> Cdns:
        """Declare the CDNs before the service, made by `cloudflare`, `fastly`, `cloudfront` and `varnish`.

        Each process that runs the service can then have them let go of what they keep. Invalidating a tag of a cache
        also purges it there.
        """
        for cdn in cdns:
            self.declared.add("cdn", cdn)
        return Cdns(self, cdns)
