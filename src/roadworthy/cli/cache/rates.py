"""How often caches had the answer, from what the running processes of this machine tell on the operations port."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass

_TIMEOUT_SECONDS = 3.0
_SAMPLE = re.compile(r"(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Rate:
    """What the processes counted of one cache since each began, together."""

    hits: int
    stale: int
    misses: int
    loaded: int

    @property
    def ratio(self) -> float | None:
        """The share of lookups that found a value, stale ones included; None where nothing was looked for."""
        lookups = self.hits + self.stale + self.misses
        return (self.hits + self.stale) / lookups if lookups else None


def scraped(host: str, port: int) -> str | None:
    """Return the text of `/metrics` on an operations port, None where nothing answers."""
    # The address that means every one of the machine's own is no address to connect to everywhere.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
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
    counted: dict[str, dict[tuple[str, str], int]] = {}
    is_this = False
    for name, labels, value in _samples(text):
        if name == "roadworthy_info":
            is_this = is_this or labels.get("service") == service
        elif name == "cache_lookups_total":
            of = counted.setdefault(labels.get("cache", ""), {})
            of[labels.get("tier", ""), labels.get("outcome", "")] = int(float(value))
    return {cache: _rate(of) for cache, of in counted.items()} if is_this else None


def _rate(of: dict[tuple[str, str], int]) -> Rate:
    def sum_of(outcome: str, *tiers: str) -> int:
        return sum(of.get((tier, outcome), 0) for tier in tiers)

    # What memory does not have is looked for in the store, where there is one.
    shared = any(count for (tier, _), count in of.items() if tier == "shared")
    misses = sum_of("miss", "shared") + sum_of("error", "shared") if shared else sum_of("miss", "memory")
    hits, stale = sum_of("hit", "memory", "shared"), sum_of("stale", "memory", "shared")
    return Rate(hits, stale, misses, of.get(("source", "loaded"), 0))


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    for line in text.splitlines():
        if found := _SAMPLE.fullmatch(line):
            yield found["name"], dict(_LABEL.findall(found["labels"])), found["value"]
