"""Purging a Fastly service.

Source: Fastly API, "Purging", as of 2026.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from roadworthy.edge.api import Answer, by_status, clean
from roadworthy.edge.cdn import Fastly
from roadworthy.edge.client import Client
from roadworthy.edge.purge import Batch


class FastlyApi:
    """The API, for one service."""

    def __init__(self, spec: Fastly, token: str, client: Client, now: Callable[[], datetime]) -> None:
        """Authenticate by an API token."""
        self._spec = spec
        self._base = spec.base_url.rstrip("/")
        self._token = token
        self._client = client
        self._now = now

    async def send(self, batch: Batch) -> Answer:
        """Make one call."""
        headers = {"Fastly-Key": self._token, "Accept": "application/json"}
        if self._spec.soft and batch.kind != "everything":
            headers["Fastly-Soft-Purge"] = "1"
        body = b""
        match batch.kind:
            case "tag":
                url = f"{self._base}/service/{self._spec.service}/purge"
                headers["Content-Type"] = "application/json"
                body = msgspec.json.encode({"surrogate_keys": batch.values})
            case "url":
                url = f"{self._base}/purge/{batch.values[0].partition('://')[2]}"
            case "everything":
                url = f"{self._base}/service/{self._spec.service}/purge_all"
            case _:
                return Answer("denied", f"Fastly has no purge by {batch.kind}")
        response = await self._client.request("POST", url, headers, body)
        try:
            document = msgspec.json.decode(response.body)
        except msgspec.DecodeError:
            document = None
        told = (document.get("msg") or document.get("detail") or "") if isinstance(document, dict) else ""
        return by_status(response, clean(str(told), [self._token]), self._now())
