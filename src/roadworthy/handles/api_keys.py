"""The handle of a service's API keys."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from roadworthy.duration import days
from roadworthy.errors import DeclarationError, KeyRefused, NotRunning
from roadworthy.handles.host import Host
from roadworthy.limits.quota import Quota
from roadworthy.security import keys
from roadworthy.security.demands import allowed
from roadworthy.security.key import scanner_pattern
from roadworthy.security.keys import Asker, Grant, IssuedKey, KeyRecord
from roadworthy.security.keys_spec import ApiKeysSpec
from roadworthy.security.presented import CURRENT, ApiKey, Verdict

if TYPE_CHECKING:
    from roadworthy.database.pool import Pool
    from roadworthy.security.verifying import Verifier

P = ParamSpec("P")
R = TypeVar("R")

_LONGEST_OVERLAP = days(366)
_LONGEST_TEXT = 200


class ApiKeys:
    """The API keys of a service: issue, rotate, revoke and verify them, and ask for one.

    A change joins the caller's transaction and is audited in it. `actor` is who makes it, by default the API key of the
    current request; `origin` the address that it was asked for from.
    """

    def __init__(self, service: Host, spec: ApiKeysSpec) -> None:
        """Declared with `Service.api_keys`."""
        self.spec = spec
        self._service = service

    @property
    def pattern(self) -> str:
        """The regular expression by which scanners of leaked secrets find these keys."""
        return scanner_pattern(self.spec.prefix)

    async def issue(
        self,
        name: str,
        *,
        owner: str = "",
        scopes: Sequence[str] = (),
        limit: str | None = None,
        lifetime: timedelta | None = None,
        actor: str | None = None,
        origin: str | None = None,
    ) -> IssuedKey:
        """Make a key; its `secret` is told here, and never again.

        `name` says what it is for, `owner` whose it is, in the service's own words. `limit` is its own rate, as in
        "1000/minute"; `lifetime` for how long it works, by default as declared.

        Raises:
            DeclarationError: a scope is not declared, the limit cannot be read, or a text is too long.
        """
        grant = grant_of(self.spec, name, owner=owner, scopes=scopes, limit=limit, lifetime=lifetime)
        return await keys.issue(self._pool, grant, Asker(actor, origin))

    async def rotate(
        self, id: str, *, overlap: timedelta = days(1), actor: str | None = None, origin: str | None = None
    ) -> IssuedKey:
        """Make a key like the one with this id, which works on for `overlap` and not longer; with 0 it ends at once.

        Raises:
            KeyNotFound: none in force has that id, or it was rotated before.
        """
        if not timedelta(0) <= overlap <= _LONGEST_OVERLAP:
            raise DeclarationError(f"overlap={overlap} is no time from 0 to 366 days, for which both keys are to work")
        issued = await keys.rotate(self._pool, id, overlap=overlap, keys=self.spec.name, by=Asker(actor, origin))
        await self._forget(id)
        return issued

    async def revoke(self, id: str, *, actor: str | None = None, origin: str | None = None) -> KeyRecord:
        """End a key: within a second in every process that reaches the database, and here as a rule at once.

        Raises:
            KeyNotFound: none has that id, or it was revoked before.
        """
        revoked = await keys.revoke(self._pool, id, keys=self.spec.name, by=Asker(actor, origin))
        await self._forget(id)
        return revoked

    async def list(
        self, *, owner: str | None = None, ended: bool = False, limit: int = 100, after: str | None = None
    ) -> Sequence[KeyRecord]:
        """Return the keys in force, the latest first; with `ended` all of them. `after` is the last id of a page."""
        return await keys.listed(self._pool, self.spec.name, owner=owner, ended=ended, limit=limit, after=after)

    async def verify(self, text: str, *scopes: str) -> ApiKey:
        """Return the key that a text is.

        Raises:
            KeyRefused: it is none in force, or lacks one of `scopes`.
            DatabaseUnavailable: nobody can say at the moment whether it is one.
        """
        verifier = self._verifier
        return self._allowed(verifier.recall(text) or await verifier.verify(text), scopes)

    def current(self, *scopes: str) -> ApiKey:
        """Return the current request's key. Raises as `verify` does, which the HTTP stack answers with 401 or 403."""
        return self._allowed(CURRENT.get(), scopes)

    def required(self, *scopes: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Make a handler, async or not, answer only requests whose key has all of `scopes`."""
        self.spec.check_scopes(scopes, "required()")

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            if inspect.iscoroutinefunction(function):

                @functools.wraps(function)
                async def asked(*arguments: P.args, **options: P.kwargs) -> Any:
                    self.current(*scopes)
                    return await function(*arguments, **options)

                return asked  # type: ignore[return-value]

            @functools.wraps(function)
            def asked_in_a_thread(*arguments: P.args, **options: P.kwargs) -> R:
                self.current(*scopes)
                return function(*arguments, **options)

            return asked_in_a_thread

        return decorate

    def _allowed(self, verdict: Verdict | None, scopes: Sequence[str]) -> ApiKey:
        try:
            return allowed(self.spec, verdict, scopes)
        except KeyRefused as error:
            if error.reason in ("missing", "forbidden"):
                self._verifier.outcomes[error.reason] += 1
            raise

    @property
    def _pool(self) -> Pool:
        return self._service.binding(f"API keys {self.spec.name!r}").pool

    @property
    def _verifier(self) -> Verifier:
        verifiers = self._service.binding(f"API keys {self.spec.name!r}").api_keys
        if verifiers is None:
            raise NotRunning(f"API keys {self.spec.name!r}")
        return verifiers[self.spec.name]

    async def _forget(self, id: str) -> None:
        """Have this process read a key anew, once the change is there to be read."""
        known = self._verifier.known
        known.forget(id)
        if self._pool.current() is not None:

            async def forget() -> None:
                known.forget(id)

            self._pool.after_commit(forget)


def grant_of(
    spec: ApiKeysSpec,
    name: str,
    *,
    owner: str = "",
    scopes: Sequence[str] = (),
    limit: str | None = None,
    lifetime: timedelta | None = None,
) -> Grant:
    """Return what a key is to be issued for, or raise DeclarationError; see `ApiKeys.issue`."""
    if not 0 < len(name) <= _LONGEST_TEXT or len(owner) > _LONGEST_TEXT or "\x00" in name + owner:
        raise DeclarationError(
            f"the name of an API key is 1 to {_LONGEST_TEXT} characters, its owner {_LONGEST_TEXT} at most; shorten it"
        )
    spec.check_scopes(tuple(scopes), f"API key {name!r}")
    if limit is not None:
        Quota.parse(limit)
    allowed_to = tuple(dict.fromkeys(scopes))
    return Grant(spec.name, spec.prefix, name, owner, allowed_to, limit, lifetime or spec.lifetime)
