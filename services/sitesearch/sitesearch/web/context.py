"""What the handlers share: how a search is counted, and how to know that the process drains."""

from __future__ import annotations

from roadworthy.http.stack import Stack
from sitesearch.jobs import recorder
from sitesearch.search.find import Found
from sitesearch.service import search_seconds, searches, service


def draining() -> bool:
    """Whether the process is on its way out."""
    installed = service.installed_app
    return isinstance(installed, Stack) and installed.drain.started


def measure(found: Found, *, record: bool) -> None:
    """Count a search in the metrics and, where a person meant it, in the site's queries."""
    if not found.query.terms:
        return
    searches.inc(has_results="yes" if found.total else "no")
    search_seconds.observe(found.took.total_seconds())
    if record:
        recorder.value.record(found.site.id, found.query.text, found=bool(found.total) and found.corrected is None)
