"""What the owner of a site decides, checked as it comes in from a form or the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sitesearch.crawl import addresses
from sitesearch.crawl.addresses import LONGEST_ADDRESS, LONGEST_PATTERN, MOST_PATTERNS
from sitesearch.crawl.extract import Selectors

PRINTED = r"^[^\x00-\x1f\x7f]*$"
_LONGEST_NAME = 100

Pattern = Annotated[str, Field(min_length=1, max_length=LONGEST_PATTERN, pattern=PRINTED)]
Patterns = Annotated[list[Pattern], Field(max_length=MOST_PATTERNS)]
Selector = Annotated[str, Field(max_length=500, pattern=PRINTED)]

LANGUAGES = (
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "estonian", "finnish", "french", "german",
    "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese",
    "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish", "simple",
)  # fmt: skip
"""What PostgreSQL can stem; "simple" keeps every word as it is."""


class SiteSettings(BaseModel):
    """A site's settings."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    start_url: str = Field(
        max_length=LONGEST_ADDRESS, pattern=PRINTED, description="Where to begin: an http or https address."
    )
    name: str = Field(
        default="", max_length=_LONGEST_NAME, pattern=PRINTED, description="What people see; the host by default."
    )
    max_depth: int = Field(default=5, ge=1, le=5, description="How many clicks away from the start to go.")
    max_pages: int = Field(default=10_000, ge=1, le=1_000_000, description="When to stop.")
    include: Patterns = Field(default_factory=list, description="Crawl only addresses like these.")
    exclude: Patterns = Field(default_factory=list, description="Leave out addresses like these.")
    content_selector: Selector | None = Field(default=None, description="CSS selector of what to index.")
    title_selector: Selector | None = Field(default=None, description="CSS selector of the title.")
    drop_selector: Selector | None = Field(default=None, description="CSS selector of what to leave out.")
    delay_seconds: float | None = Field(default=None, ge=0, le=60, description="Least time between two requests.")
    language: str | None = Field(
        default=None,
        description="How to read words; by each page's own language by default.",
        json_schema_extra={"enum": [*LANGUAGES, None]},
    )
    recrawl_hours: int | None = Field(default=None, ge=1, le=24 * 90, description="Crawl again after so many hours.")

    @field_validator("start_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and "://" not in value:
            value = f"https://{value}"
        try:
            return addresses.normalise(value)
        except addresses.BadAddress as error:
            raise ValueError("write the address of a web page, such as https://example.org/") from error

    @field_validator("content_selector", "title_selector", "drop_selector")
    @classmethod
    def _selector(cls, value: str | None) -> str | None:
        if not value:
            return None
        try:
            Selectors(content=value)
        except ValueError as error:
            raise ValueError("write a CSS selector, such as main or .content") from error
        return value

    @field_validator("language")
    @classmethod
    def _language(cls, value: str | None) -> str | None:
        if not value:
            return None
        if value not in LANGUAGES:
            raise ValueError(f"choose one of {', '.join(LANGUAGES)}")
        return value

    @model_validator(mode="after")
    def _named(self) -> SiteSettings:
        if not self.name:
            self.name = _as_people_write_it(urlsplit(self.start_url).netloc)[:_LONGEST_NAME]
        return self

    @property
    def recrawl_every(self) -> timedelta | None:
        """The time between two crawls, None for only when asked."""
        return None if self.recrawl_hours is None else timedelta(hours=self.recrawl_hours)


def _as_people_write_it(host: str) -> str:
    try:
        return host.encode("ascii").decode("idna")
    except UnicodeError:
        return host
