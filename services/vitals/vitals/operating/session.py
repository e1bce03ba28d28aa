"""Who operates: one key, and a cookie that proves that its sender once knew the key.

    <expiry as Unix time>.<HMAC-SHA256 of it>

Nothing is kept: a new key ends every session, and so does its expiry.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

from roadworthy import hours

COOKIE = "vitals_operator"
LASTING = hours(12)

_LONGEST_COOKIE = 200


class Operator:
    """Tells the operator from strangers. Every comparison takes the same time whatever is wrong."""

    def __init__(self, key: str, *, clock: Callable[[], float] = time.time) -> None:
        """`key` is the operator's; `clock` gives Unix time in seconds."""
        self._digest = hashlib.sha256(key.encode()).digest()
        self._sessions = hmac.digest(self._digest, b"session", hashlib.sha256)
        self._forms = hmac.digest(self._digest, b"form", hashlib.sha256)
        self._clock = clock

    def knows(self, key: str) -> bool:
        """Return whether `key` is the operator's."""
        offered = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(self._digest, offered)

    def begin(self) -> str:
        """Return the cookie of a new session."""
        expiry = str(int(self._clock() + LASTING.total_seconds()))
        return f"{expiry}.{_seal(self._sessions, expiry)}"

    def recognises(self, cookie: str) -> bool:
        """Return whether a cookie was given out with this key and has not expired."""
        expiry, _, seal = cookie[:_LONGEST_COOKIE].partition(".")
        genuine = hmac.compare_digest(_seal(self._sessions, expiry).encode(), seal.encode("utf-8", "surrogateescape"))
        return genuine and int(expiry) > self._clock()

    def token_of(self, cookie: str) -> str:
        """Return what a form of this session carries, so that another site cannot make one."""
        return _seal(self._forms, cookie)

    def accepts(self, cookie: str, token: str) -> bool:
        """Return whether `token` belongs to the session."""
        return hmac.compare_digest(self.token_of(cookie).encode(), token.encode("utf-8", "surrogateescape"))


def _seal(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hex()
