"""What a host's robots.txt allows, by RFC 9309, with the Crawl-delay and Sitemap lines that it does not define."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from protego import Protego

from sitesearch.crawl import addresses
from sitesearch.crawl.charset import decode
from sitesearch.crawl.fetch import Fetcher
from sitesearch.crawl.outcomes import Failed, Fetched, Reason, Refused

AGENT = "sitesearch"
LARGEST = 500 * 1024
LONGEST_DELAY = 30.0
MOST_SITEMAPS = 20

# Whatever type it is served with, it is read: the RFC's text/plain is often not what is sent.
_ANY_TYPE = frozenset({"text/plain", "text/html", "application/octet-stream", "text/x-robots", "application/xhtml+xml"})

State = Literal["found", "absent", "unreachable"]


@dataclass(frozen=True, slots=True)
class RobotsFile:
    """A robots.txt as fetched: its text, that there is none (all is allowed), or that nobody can tell (nothing is)."""

    state: State
    text: str = ""


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules of one robots.txt for our agent."""

    file: RobotsFile
    _rules: Protego = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rules", Protego.parse(self.file.text))

    def allows(self, address: str) -> bool:
        """Whether a normalised address may be fetched."""
        if self.file.state == "unreachable":
            return False
        return bool(self._rules.can_fetch(address, AGENT))

    @property
    def delay(self) -> float:
        """The seconds between requests that it asks for, at most 30; 0 if it asks for none."""
        delay = self._rules.crawl_delay(AGENT)
        return 0.0 if delay is None else min(max(float(delay), 0.0), LONGEST_DELAY)

    @property
    def sitemaps(self) -> list[str]:
        """The sitemaps that it lists, normalised, at most 20."""
        listed = [str(sitemap) for sitemap in self._rules.sitemaps]
        return addresses.links(listed[: 10 * MOST_SITEMAPS], "")[:MOST_SITEMAPS]


async def ask(fetcher: Fetcher, origin: str) -> RobotsFile:
    """Fetch the robots.txt of an origin.

    Following the RFC: any 4xx means that there is none; 5xx, 429 and no answer that nothing may be fetched for now; it
    is read to 500 KiB.
    """
    result = await fetcher.fetch(f"{origin}/robots.txt", accept=_ANY_TYPE, largest=LARGEST, truncate=True)
    match result:
        case Fetched():
            return RobotsFile("found", decode(result.body, "utf-8").replace("\0", ""))
        case Failed() | Refused(reason=Reason.TOO_SLOW):
            return RobotsFile("unreachable", "")
        case _:
            # A 4xx, a picture, a redirect that leads nowhere: no rules. A forbidden address is refused on its own.
            return RobotsFile("absent")
