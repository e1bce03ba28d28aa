"""CORS answers: which fields a response carries for the origin that asked, and preflights, answered before all else.

The fields are on errors too, for Exchange adds them to whatever the response is. They name the origin that asked where
it is one of the declared, and nothing where it is not: nobody is reflected. `Vary: Origin` keeps a shared cache from
giving one origin's response to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from roadworthy.http.asgi import Headers, Receive, Scope, Send
from roadworthy.http.problems import Problem, ProblemResponse
from roadworthy.security.cross_origin import CorsSpec, Origins, unasked

_ASKED_METHOD = b"access-control-request-method"
_ASKED_HEADERS = b"access-control-request-headers"
_VARY = (b"vary", b"Origin")


class Cors:
    """The declarations of a service, by path."""

    def __init__(self, specs: Sequence[CorsSpec]) -> None:
        """Sort them: the longest path goes first."""
        self._policies = [(spec.name, CorsPolicy(spec)) for spec in sorted(specs, key=lambda one: -len(one.name))]

    def of(self, path: str) -> CorsPolicy | None:
        """Return the declaration for a path."""
        for prefix, policy in self._policies:
            if path.startswith(prefix) and (prefix[-1] == "/" or path[len(prefix) : len(prefix) + 1] in ("", "/")):
                return policy
        return None


class CorsPolicy:
    """One declaration, its fields spelled out."""

    def __init__(self, spec: CorsSpec) -> None:
        """Spell them out."""
        self._everybody = spec.everybody
        self._origins = Origins(spec.origins)
        self._methods = frozenset(method.encode() for method in spec.methods)
        self._headers = frozenset(header.lower() for header in spec.headers)
        self._always: Headers = []
        if spec.credentials:
            self._always.append((b"access-control-allow-credentials", b"true"))
        self._read: Headers = list(self._always)
        if spec.expose:
            self._read.append((b"access-control-expose-headers", ", ".join(spec.expose).encode()))
        self._preflight: Headers = [
            (b"access-control-allow-methods", ", ".join(spec.methods).encode()),
            *([(b"access-control-allow-headers", ", ".join(spec.headers).encode())] if spec.headers else []),
            (b"access-control-max-age", str(int(spec.max_age.total_seconds())).encode()),
            (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]

    def fields(self, origin: bytes | None) -> Headers:
        """Return the fields of a response to a page of `origin`, or to a request that names none."""
        if self._everybody:
            return [(b"access-control-allow-origin", b"*"), *self._read]
        if origin is None or not self._knows(origin):
            return [_VARY]
        return [(b"access-control-allow-origin", origin), *self._read, _VARY]

    def is_preflight(self, method: str, fields: Mapping[bytes, bytes]) -> bool:
        """Return whether a browser asks whether a page may send what it is about to."""
        return method == "OPTIONS" and b"origin" in fields and _ASKED_METHOD in fields

    async def answer(self, fields: Mapping[bytes, bytes], scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight: 204 where all that is asked for is declared, else 403, which no page gets past."""
        refusal = self._refusal(fields)
        if refusal is not None:
            problem = Problem(403, detail=refusal, headers={"vary": "Origin"})
            await ProblemResponse(problem)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 204, "headers": self._preflight})
        await send({"type": "http.response.body", "body": b""})

    def _knows(self, origin: bytes) -> bool:
        return origin.decode("latin-1") in self._origins

    def _refusal(self, fields: Mapping[bytes, bytes]) -> str | None:
        if not self._everybody and not self._knows(fields[b"origin"]):
            return "Pages of this origin may not read from here."
        if fields[_ASKED_METHOD] not in self._methods:
            return "Pages of other origins may not use this method here."
        for name in fields.get(_ASKED_HEADERS, b"").decode("latin-1").split(","):
            asked = name.strip().lower()
            if asked and asked not in self._headers and not unasked(asked):
                return "Pages of other origins may not send such headers here."
        return None
