"""The API key of the current request: who it is, or why there is none.

The HTTP layer puts it into the ASGI scope and into a context variable, where handlers and the audit find it.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

API_KEY = "roadworthy.api_key"
"""Where the ASGI scope has the `ApiKey` of a request that showed one in force; absent otherwise."""

Reason = Literal["missing", "malformed", "unknown", "revoked", "expired", "forbidden", "unavailable"]
"""Why a request is refused; "unavailable" where the database cannot say whether the key is one."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key in force. `id` is its public name, prefix included; the secret is nowhere.

    `keys` is the name of the declaration that it belongs to, `name` says what it is for, `owner` whose it is, in the
    service's own words. `scopes` are what it may do. `limit` is its own rate, as in "1000/minute", None for the usual
    one.
    """

    id: str
    keys: str
    name: str
    owner: str
    scopes: frozenset[str]
    limit: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None

    def may(self, *scopes: str) -> bool:
        """Return whether the key has all of these scopes."""
        return self.scopes.issuperset(scopes)


Verdict = ApiKey | Reason
"""What became of the key that a request showed."""

CURRENT: ContextVar[Verdict | None] = ContextVar("roadworthy_api_key", default=None)
"""That of the current request; None where it showed none."""
