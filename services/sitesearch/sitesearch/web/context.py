"""What the handlers share: the recorder of queries, and how to know that the process drains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from sitesearch.search.find import Found
from sitesearch.service import search_seconds, searches
from sitesearch.sites.queries import Recorder


@dataclass(frozen=True, slots=True)
class Context:
    """Kept on the application's state."""

    recorder: Recorder
    draining: Callable[[], bool]

    def measure(self, found: Found, *, record: bool) -> None:
        """Count a search in the metrics, and where a person meant it, in the site's queries."""
        if not found.query.terms:
            return
        searches.inc(has_results="yes" if found.total else "no")
        search_seconds.observe(found.took.total_seconds())
        if record:
            self.recorder.record(found.site.id, found.query.text, found=bool(found.total) and found.corrected is None)


def context(request: Request) -> Context:
    """Return the context of the application that serves a request."""
    shared: Context = request.app.state.context
    return shared
