"""Which limits a request is held to, and whose key it has in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from roadworthy.http.asgi import Scope
from roadworthy.http.client_address import AddressKeys
from roadworthy.http.matching import Routes
from roadworthy.limits.headers import POLICY, policies, policy_name
from roadworthy.limits.spec import ANYWHERE, LimitSpec
from roadworthy.security.presented import API_KEY
from roadworthy.telemetry.logging import get_logger

if TYPE_CHECKING:
    from roadworthy.limits.limiter import Limiter
    from roadworthy.limits.limiters import Limiters

USER = "roadworthy.user"
"""Where an ASGI middleware around the stack may put a request's user, as text, for limits by user."""

Key = Callable[[Scope], str | None]
OfKey = Callable[[Scope], "Applied | None"]

_log = get_logger(__name__)


class Applied:
    """One limit as it is applied to requests; `told` says whether responses tell of it.

    `of_key` finds, for a limit by API key, how it applies to the key of a request, which may have a rate of its own.
    """

    __slots__ = ("cost", "item", "key", "limiter", "of_key", "plain", "rated", "spec", "told")

    def __init__(self, limiter: Limiter, key: Key, of_key: OfKey | None = None, *, rated: bool = False) -> None:
        """Apply `limiter`, with the key that `key` finds in a scope; `rated` where its rate is that of a key."""
        self.limiter = limiter
        self.key = key
        self.of_key = of_key
        self.rated = rated
        self.spec: LimitSpec = limiter.spec
        self.cost = self.spec.cost
        self.told = not self.spec.shadow
        # What most responses tell takes one text to write.
        self.plain = self.told and not rated and not self.spec.legacy_headers and len(self.spec.quotas) == 1
        self.item = f'"{policy_name(self.spec.name, 0)}";r='


class Applying:
    """All limits of a route. `path` is its template, None for what no limit names; `policy` is what responses tell."""

    __slots__ = ("applied", "path", "policy")

    def __init__(self, applied: Sequence[Applied], path: str | None) -> None:
        """Apply all of `applied`."""
        told = [one.spec for one in applied if one.told]
        self.applied = tuple(applied)
        self.policy = (POLICY, policies(told)) if told else None
        self.path = path


class LimitedRoutes:
    """The limits of a running service, by the route that a request looks like."""

    def __init__(self, limiters: Limiters, specs: Sequence[LimitSpec], proxies: int) -> None:
        """Apply the limits of `specs`, to addresses behind so many trusted proxies."""
        self._limiters = limiters
        self._specs = specs
        self._addresses = AddressKeys(proxies)
        self._first = limiters.of(specs[0].name)
        self._applying: dict[tuple[str, ...], Applying] = {}
        self._elsewhere = self._together(())
        named = sorted({route for spec in specs for route in spec.routes if route != ANYWHERE})
        self._routes = Routes({route: route for route in named}) if named else None

    @property
    def closed(self) -> bool:
        """Whether the service has stopped since."""
        return self._first.closed

    def of(self, scope: Scope) -> Applying:
        """Return the limits of a request."""
        if self._routes is None:
            return self._elsewhere
        routes = self._routes.all_of(scope)
        return self._applying.get(routes) or self._together(routes)

    def _together(self, routes: tuple[str, ...]) -> Applying:
        """Return the limits of a request that may take any of these routes."""
        applied = []
        for spec in self._specs:
            route = next((route for route in (*routes, ANYWHERE) if route in spec.routes), None)
            if route is not None:
                applied.append(self._applied(spec, route))
        applying = self._applying[routes] = Applying(applied, routes[0].partition(" ")[2] if len(routes) == 1 else None)
        return applying

    def _applied(self, spec: LimitSpec, route: str) -> Applied:
        key = self._key(spec, route)
        of_key = self._rated(spec.name, key) if spec.by == "api_key" else None
        return Applied(self._limiters.of(spec.name), key, of_key)

    def _rated(self, name: str, key: Key) -> OfKey:
        made: dict[str, Applied] = {}

        def of_key(scope: Scope) -> Applied | None:
            shown = scope.get(API_KEY)
            if shown is None or shown.limit is None:
                return None
            known = made.get(shown.limit)
            if known is None:
                limiter = self._limiters.rated(name, shown.limit)
                if limiter is self._limiters.of(name):
                    return None
                known = made[shown.limit] = Applied(limiter, key, rated=True)
            return known

        return of_key

    def _key(self, spec: LimitSpec, route: str) -> Key:
        address = self._addresses.of
        if callable(spec.by):
            return _given(spec.by, spec.name, address)
        if spec.by == "route":
            return lambda _scope: route
        if spec.by == "api_key":
            return _by_key(address)
        if spec.by == "user":
            return _by_user(address)
        return address


# What has no key or user counts by its address, under a name that no key and no user has.


def _by_key(address: Callable[[Scope], str]) -> Key:
    def key(scope: Scope) -> str:
        shown = scope.get(API_KEY)
        return f"address:{address(scope)}" if shown is None else f"key:{shown.id}"

    return key


def _by_user(address: Callable[[Scope], str]) -> Key:
    def key(scope: Scope) -> str:
        user = scope.get(USER)
        if user is None and (shown := scope.get(API_KEY)) is not None:
            user = shown.owner
        return f"user:{user}" if user else f"address:{address(scope)}"

    return key


def _given(by: Callable[[Scope], str | None], name: str, address: Callable[[Scope], str]) -> Key:
    def key(scope: Scope) -> str | None:
        try:
            found = by(scope)
        except Exception:
            # Nobody is to get around a limit by what makes its function fail.
            _log.exception("the key of a limit failed; the address counts", limit=name)
            return f"address:{address(scope)}"
        return None if found is None else str(found)

    return key
