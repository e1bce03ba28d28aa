"""What the running processes of this machine tell of caches on the operations port."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadworthy.cache.rates import Rate

_TIMEOUT_SECONDS = 3.0
_SAMPLE = re.compile(r"(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def scraped(host: str, port: int) -> str | None:
    """Return the text of `/metrics` on an operations port, None where nothing answers."""
    # The address that means every one of the machine's own is no address to connect to everywhere.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # nosec B104  # replaced, never bound
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else None
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return None
    finally:
        connection.close()


def rates(text: str, service: str) -> dict[str, Rate] | None:
    """Return what a scrape tells of each cache, None where it is another service's."""
    from roadworthy.cache.metrics import LOOKUPS
    from roadworthy.cache.rates import rate_of

    counted: dict[str, dict[tuple[str, str], float]] = {}
    is_this = False
    for name, labels, value in _samples(text):
        if name == "roadworthy_info":
            is_this = is_this or labels.get("service") == service
        elif name == LOOKUPS.name:
            lookups = counted.setdefault(labels.get("cache", ""), {})
            lookups[labels.get("tier", ""), labels.get("outcome", "")] = float(value)
    return {cache: rate_of(lookups) for cache, lookups in counted.items()} if is_this else None


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    for line in text.splitlines():
        if found := _SAMPLE.fullmatch(line):
            yield found["name"], dict(_LABEL.findall(found["labels"])), found["value"]
