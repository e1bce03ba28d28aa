"""How far a crawl is, read from its counts: a handful of rows, however large the site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roadworthy import Database, load_queries
from sitesearch.crawl.outcomes import TEXT

_SQL = load_queries("sitesearch.crawl")


@dataclass(frozen=True, slots=True)
class Progress:
    """A crawl as it stands.

    `fetched` counts pages kept now, `unchanged` those that had not changed, `redirected` and `duplicate` addresses that
    stand for another one, `refused` and `failed` those that gave no page, `skipped` those beyond a limit. `bytes` is
    what came over the wire. `reasons` counts by reason why addresses gave no page, with its words for people in
    `sitesearch.crawl.outcomes.TEXT`.
    """

    crawl_id: int
    site_id: int
    state: str
    trigger: str
    reason: str | None
    level: int
    started_at: datetime
    finished_at: datetime | None
    seconds: float
    found: int
    fetched: int
    unchanged: int
    redirected: int
    duplicate: int
    refused: int
    failed: int
    skipped: int
    bytes: int
    reasons: Mapping[str, int]

    @property
    def done(self) -> int:
        """Addresses that came to an end."""
        return (
            self.fetched + self.unchanged + self.redirected + self.duplicate + self.refused + self.failed + self.skipped
        )

    @property
    def waiting(self) -> int:
        """Addresses found but not done."""
        return max(0, self.found - self.done)

    @property
    def pages_per_second(self) -> float:
        """Pages that answered, by the time since the start."""
        return (self.fetched + self.unchanged) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An address that gave no page: why in a word, in words for people, and in detail; `target` is where it led."""

    url: str
    state: str
    reason: str
    text: str
    detail: str
    target: str


async def read(database: Database, crawl_id: int) -> Progress | None:
    """How far a crawl is, or None if there is no such crawl."""
    crawl: Any = await database.fetchrow(_SQL["crawl"], crawl_id)
    if crawl is None:
        return None
    counts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    size = 0
    for row in await database.fetch(_SQL["outcome_totals"], crawl_id):
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + row["urls"]
        size += row["bytes"]
        if row["reason"] and row["urls"]:
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["urls"]
    states = ("fetched", "unchanged", "redirected", "duplicate", "refused", "failed", "skipped")
    return Progress(
        crawl_id=crawl["id"],
        site_id=crawl["site_id"],
        state=crawl["state"],
        trigger=crawl["trigger"],
        reason=crawl["reason"],
        level=crawl["level"],
        started_at=crawl["started_at"],
        finished_at=crawl["finished_at"],
        seconds=crawl["seconds"],
        found=counts.get("found_page", 0),
        bytes=size,
        reasons=reasons,
        **{state: counts.get(state, 0) for state in states},
    )


async def refusals(
    database: Database, crawl_id: int, *, reason: str | None = None, after: tuple[str, str] = ("", ""), limit: int = 100
) -> list[Refusal]:
    """The addresses that gave no page, by reason and address; `after` is the last one of the page before."""
    rows = await database.fetch(_SQL["refusals"], crawl_id, reason, *after, limit)
    return [Refusal(**{**row, "text": TEXT.get(row["reason"], row["reason"])}) for row in map(dict, rows)]
