"""Which requests ask for an API key, and whether the one that was shown will do. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from roadworthy.errors import DatabaseUnavailable, KeyRefused
from roadworthy.security.keys_spec import ApiKeysSpec
from roadworthy.security.presented import ApiKey, Reason, Verdict

_PARAMETER = re.compile(r"\{\w+(:\w+)?\}")

_MOST_REMEMBERED = 1000

_DETAIL: dict[Reason, str] = {
    "malformed": "This is no API key of ours.",
    "unknown": "The API key is not known.",
    "revoked": "The API key was revoked.",
    "expired": "The API key is past its time.",
}


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request must show: a key of `keys` with all of these scopes."""

    keys: ApiKeysSpec
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rule:
    method: str | None
    pattern: re.Pattern[str]
    demand: Demand


class Demands:
    """The guarded routes of a service. A request must meet each rule that it matches."""

    def __init__(self, specs: Sequence[ApiKeysSpec]) -> None:
        """Compile the routes of `specs`."""
        self._rules = [
            _Rule(one.method, re.compile(_pattern(one.path)), Demand(spec, one.scopes))
            for spec in specs
            for one in spec.guarded
        ]
        self._beginnings = tuple(_beginning(one.path) for spec in specs for one in spec.guarded)
        self._known: dict[tuple[str, str], Sequence[Demand]] = {}

    def of(self, method: str, path: str) -> Sequence[Demand]:
        """Return what a request must show; HEAD counts as GET, a WebSocket's handshake too."""
        if not path.startswith(self._beginnings):
            return ()
        known = self._known.get((method, path))
        if known is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[method, path] = self._found("GET" if method == "HEAD" else method, path)
        return known

    def _found(self, method: str, path: str) -> Sequence[Demand]:
        return tuple(
            rule.demand for rule in self._rules if rule.method in (None, method) and rule.pattern.fullmatch(path)
        )


def _beginning(template: str) -> str:
    """Return what every path of a template begins with."""
    return template.partition("{")[0].removesuffix("/*").rstrip("/")


def _pattern(template: str) -> str:
    """Return the paths of a template, as frameworks take them: also with a slash at the end, or with a line feed.

    Their patterns end in `$`, which in Python matches before a last line feed as well.
    """
    base = template.removesuffix("/*")
    parts, end = [], 0
    for found in _PARAMETER.finditer(base.rstrip("/")):
        parts += [re.escape(base[end : found.start()]), "(?s:.*)" if found[1] == ":path" else "[^/]+"]
        end = found.end()
    literal = "".join([*parts, re.escape(base.rstrip("/")[end:])])
    return literal + ("(?s:(?:/.*)?)" if base != template else "/?") + "\n?"


def allowed(spec: ApiKeysSpec, verdict: Verdict | None, scopes: Sequence[str] = ()) -> ApiKey:
    """Return the key of a request, None standing for one that shows none.

    Raises:
        KeyRefused: there is none in force, or it lacks one of `scopes`.
        DatabaseUnavailable: nobody can say at the moment whether it is one.
    """
    if isinstance(verdict, ApiKey) and verdict.keys == spec.name:
        if verdict.may(*scopes):
            return verdict
        lacking = " ".join(scope for scope in scopes if scope not in verdict.scopes)
        detail = f"The API key {verdict.id} lacks the scope {lacking}."
        raise KeyRefused("forbidden", 403, detail, _challenge(spec, f'error="insufficient_scope", scope="{lacking}"'))
    if verdict == "unavailable":
        raise DatabaseUnavailable("an API key cannot be verified while the database is away; try again")
    if isinstance(verdict, ApiKey):
        raise KeyRefused("unknown", 401, _DETAIL["malformed"], _challenge(spec, 'error="invalid_token"'))
    if verdict is None or verdict == "missing":
        raise KeyRefused("missing", 401, f"Send an API key, as in `{_example(spec)}`.", _challenge(spec))
    raise KeyRefused(verdict, 401, _DETAIL[verdict], _challenge(spec, 'error="invalid_token"'))


def _challenge(spec: ApiKeysSpec, error: str = "") -> str:
    """Return the WWW-Authenticate of a refusal (RFC 6750, 3; a header of another name has no scheme of its own)."""
    scheme = spec.scheme or "ApiKey"
    parameters = [f'realm="{spec.name}"', *([] if spec.header == "authorization" else [f'header="{spec.header}"'])]
    return f"{scheme} {', '.join([*parameters, *([error] if error else [])])}"


def _example(spec: ApiKeysSpec) -> str:
    name = "-".join("API" if word == "api" else word.capitalize() for word in spec.header.split("-"))
    return f"{name}: {spec.scheme + ' ' if spec.scheme else ''}{spec.prefix}_..."
