"""Purging a Cloudflare zone.

Source: Cloudflare API, "Purge Cached Content" (POST /zones/{zone_id}/purge_cache), and its limits, as of 2026.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from roadworthy.edge.api import ACCEPTED, Answer, by_status, clean
from roadworthy.edge.cdn import Cloudflare
from roadworthy.edge.client import Client, Response
from roadworthy.edge.purge import Batch, Kind

_FIELDS: dict[Kind, str] = {"url": "files", "tag": "tags", "prefix": "prefixes"}

# Of requests without valid authentication; some come with status 400.
_AUTHENTICATION = frozenset({6003, 6102, 6103, 6111, 9103, 9106, 9107, 9109, 10000, 10001})


class CloudflareApi:
    """The API, for one zone."""

    def __init__(self, spec: Cloudflare, token: str, client: Client, now: Callable[[], datetime]) -> None:
        """Authenticate by an API token."""
        self._url = f"{spec.base_url.rstrip('/')}/client/v4/zones/{spec.zone}/purge_cache"
        self._token = token
        self._client = client
        self._now = now

    async def send(self, batch: Batch) -> Answer:
        """Make one call."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        body = msgspec.json.encode(_document(batch))
        return self._answer(await self._client.request("POST", self._url, headers, body))

    def _answer(self, response: Response) -> Answer:
        try:
            document = msgspec.json.decode(response.body)
        except msgspec.DecodeError:
            document = None
        if not isinstance(document, dict):
            if response.status < 300:
                return Answer("later", f"{response.status} without the API's JSON")
            return by_status(response, "", self._now())
        errors = [error for error in document.get("errors") or () if isinstance(error, dict)]
        reason = clean("; ".join(f"{error.get('code')} {error.get('message')}" for error in errors), [self._token])
        if response.status >= 300:
            answer = by_status(response, reason, self._now())
            denied = answer.verdict == "invalid" and any(error.get("code") in _AUTHENTICATION for error in errors)
            return Answer("denied", answer.reason) if denied else answer
        if document.get("success") is True:
            return ACCEPTED
        return Answer("limited" if "rate limit" in reason.lower() else "invalid", reason or "no success, and no error")


def _document(batch: Batch) -> dict[str, Any]:
    if batch.kind == "everything":
        return {"purge_everything": True}
    values = list(batch.values)
    if batch.kind == "prefix":
        # A prefix is a host and a path; the scheme does not count.
        values = list(dict.fromkeys(value.partition("://")[2] for value in values))
    return {_FIELDS[batch.kind]: values}
