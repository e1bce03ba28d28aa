"""A site's settings as one crawl uses them: taken when it begins, and the same to its end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Protocol

from sitesearch.crawl import addresses
from sitesearch.crawl.addresses import Patterns, Scope
from sitesearch.crawl.extract import Selectors


class Row(Protocol):
    """What gives a column's value by its name."""

    def __getitem__(self, column: str, /) -> Any:
        """The value."""


@dataclass(frozen=True, slots=True)
class CrawlSettings:
    """What a crawl may do. The columns of `sites`, with the same names and meanings.

    `scope` and `selectors` follow from them. `delay_seconds` of None is no delay on hosts that the operator allows, and
    a quarter of a second elsewhere.

    Raises:
        ValueError: a start that is no address, or a pattern or selector that breaks its rule.
    """

    start_url: str
    path_prefix: str = "/"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_depth: int = 5
    max_pages: int = 10_000
    max_alike: int = 2_000
    delay_seconds: float | None = None
    concurrency: int = 4
    content_selector: str | None = None
    title_selector: str | None = None
    drop_selector: str | None = None
    scope: Scope = field(init=False, repr=False, compare=False)
    selectors: Selectors = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "start_url", addresses.normalise(self.start_url))
        object.__setattr__(self, "include", tuple(self.include))
        object.__setattr__(self, "exclude", tuple(self.exclude))
        scope = Scope(self.start_url, self.path_prefix, Patterns(self.include), Patterns(self.exclude))
        selectors = Selectors(self.content_selector or None, self.title_selector or None, self.drop_selector or None)
        object.__setattr__(self, "scope", scope)
        object.__setattr__(self, "selectors", selectors)

    @classmethod
    def of_site(cls, row: Row) -> CrawlSettings:
        """From a row of `sites`."""
        return cls(**{name: row[name] for name in _NAMES})

    @classmethod
    def from_json(cls, text: str) -> CrawlSettings:
        """From what `json` made."""
        return _parsed(text)

    @property
    def json(self) -> str:
        """As it is kept with the crawl."""
        return json.dumps({name: getattr(self, name) for name in _NAMES})

    @property
    def most_addresses(self) -> int:
        """How long the list of addresses may grow, so that an endless site does not fill the disk."""
        return 20 * self.max_pages + 10_000


_NAMES = tuple(field.name for field in fields(CrawlSettings) if field.init)


@lru_cache(maxsize=256)
def _parsed(text: str) -> CrawlSettings:
    return CrawlSettings(**json.loads(text))
