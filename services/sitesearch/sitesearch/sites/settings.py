"""What the owner of a site decides, checked as it comes in from a form or the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

Pattern = Annotated[str, Field(min_length=1, max_length=500)]
Selector = Annotated[str, Field(max_length=500)]

LANGUAGES = (
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "estonian", "finnish", "french", "german",
    "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese",
    "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish", "simple",
)  # fmt: skip
"""What PostgreSQL can stem; "simple" keeps every word as it is."""


class SiteSettings(BaseModel):
    """A site's settings."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    start_url: str = Field(max_length=2000, description="Where to begin: an http or https address.")
    name: str = Field(default="", max_length=100, description="What people see; the host by default.")
    max_depth: int = Field(default=5, ge=1, le=5, description="How many clicks away from the start to go.")
    max_pages: int = Field(default=10_000, ge=1, le=1_000_000, description="When to stop.")
    include: list[Pattern] = Field(default_factory=list, max_length=50, description="Crawl only addresses like these.")
    exclude: list[Pattern] = Field(default_factory=list, max_length=50, description="Leave out addresses like these.")
    content_selector: Selector | None = Field(default=None, description="CSS selector of what to index.")
    title_selector: Selector | None = Field(default=None, description="CSS selector of the title.")
    drop_selector: Selector | None = Field(default=None, description="CSS selector of what to leave out.")
    delay_seconds: float | None = Field(default=None, ge=0, le=60, description="Least time between two requests.")
    language: str | None = Field(default=None, description="How to read words; by each page's own language by default.")
    recrawl_hours: int | None = Field(default=None, ge=1, le=24 * 90, description="Crawl again after so many hours.")

    @field_validator("start_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and "://" not in value:
            value = f"https://{value}"
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
            raise ValueError("write the address of a web page, such as https://example.org/")
        return parts._replace(path=parts.path or "/", fragment="").geturl()

    @field_validator("content_selector", "title_selector", "drop_selector")
    @classmethod
    def _selector(cls, value: str | None) -> str | None:
        if not value:
            return None
        try:
            LexborHTMLParser("<p></p>").css(value)
        except (SelectolaxError, ValueError) as error:
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
            self.name = urlsplit(self.start_url).netloc
        return self

    @property
    def recrawl_every(self) -> timedelta | None:
        """The time between two crawls, None for only when asked."""
        return None if self.recrawl_hours is None else timedelta(hours=self.recrawl_hours)
