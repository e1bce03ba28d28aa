"""What the handlers share: how a search is counted."""

from __future__ import annotations

from sitesearch.jobs import recorder
from sitesearch.search.find import Found
from sitesearch.service import search_seconds, searches


def measure(found: Found, *, record: bool) -> None:
    """Count a search in the metrics and, where a person meant it, in the site's queries."""
    if not found.query.terms:
        return
    searches.inc(has_results="yes" if found.total else "no")
    search_seconds.observe(found.took.total_seconds())
    if record:
        recorder.value.record(found.site.id, found.query.text, found=bool(found.total) and found.corrected is None)
