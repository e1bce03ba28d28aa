"""Test a service on a real, throw-away PostgreSQL.

    @pytest.fixture
    async def running():
        async with testing.running(service):
            yield

    async def test_a_page_is_fetched(running):
        await fetch_page.enqueue(url="https://example.org/")
        await testing.drain(service)
        assert await pages.fetchval("SELECT count(*) FROM pages") == 1

The first use in a process starts an embedded PostgreSQL, which ends with the process; each `running` gets a database of
its own there. Nothing here needs a test framework.
"""

from roadworthy.testing.bound import database, metric, running
from roadworthy.testing.draining import JobFailed, JobFailure, advance, drain
from roadworthy.testing.enqueued import Enqueued, assert_enqueued, enqueued

__all__ = [
    "Enqueued",
    "JobFailed",
    "JobFailure",
    "advance",
    "assert_enqueued",
    "database",
    "drain",
    "enqueued",
    "metric",
    "running",
]
