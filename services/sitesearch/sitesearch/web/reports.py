"""What is told of searches that people settled on while typing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from sitesearch.search.query import LONGEST_QUERY


class SearchReport(BaseModel):
    """A search that a person settled on while typing."""

    model_config = ConfigDict(strict=True)

    query: str = Field(min_length=1, max_length=LONGEST_QUERY)
    found: bool
