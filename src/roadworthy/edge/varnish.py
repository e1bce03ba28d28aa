"""Purging a Varnish server that is configured as `roadworthy emit` does it: PURGE for a URL, BAN for anything wider.

A ban takes effect for what was kept before it. Patterns are regular expressions (PCRE) over the header or the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from urllib.parse import urlsplit

from roadworthy.edge.api import Answer, by_status, clean
from roadworthy.edge.client import Client
from roadworthy.edge.policy import escaped
from roadworthy.edge.purge import Batch


class VarnishApi:
    """One server."""

    def __init__(self, url: str, token: str | None, client: Client, now: Callable[[], datetime]) -> None:
        """Reach it at `url`; `token` goes along as a bearer's, if given."""
        self._base = url.rstrip("/")
        self._token = token
        self._client = client
        self._now = now

    async def send(self, batch: Batch) -> Answer:
        """Make one call."""
        method, path = "BAN", "/"
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        match batch.kind:
            case "tag":
                headers["Cache-Tag-Pattern"] = tag_pattern(batch.values)
            case "everything":
                headers["Url-Pattern"] = "."
            case "prefix":
                parts = urlsplit(batch.values[0])
                headers |= {"Host": parts.netloc, "Url-Pattern": f"^{escaped(parts.path or '/')}"}
            case "url":
                parts = urlsplit(batch.values[0])
                method, path = "PURGE", f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
                headers["Host"] = parts.netloc
        response = await self._client.request(method, f"{self._base}{path}", headers)
        told = clean(response.body.decode("utf-8", "replace"), [] if self._token is None else [self._token])
        return by_status(response, told, self._now())


def tag_pattern(tags: Iterable[str]) -> str:
    """Return what matches a `Cache-Tag` header that has one of the tags."""
    return f"(^|,)({'|'.join(map(escaped, tags))})(,|$)"
