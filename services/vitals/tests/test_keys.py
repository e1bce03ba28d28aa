"""The command that issues and revokes API keys."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import pytest
from events import SECRET
from people import add_user

from roadworthy import testing
from vitals import keys
from vitals.reading.access import reading_as, viewer
from vitals.service import database, service


@pytest.fixture
async def dsn(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    # Without it the service warns, on standard output where no log was set up.
    monkeypatch.setenv("VITALS_SECRET_AGGREGATOR", SECRET)
    async with testing.database(service) as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        yield dsn


async def command(*arguments: str) -> int:
    """Run the command as `main` does, in the test's own loop."""
    return await keys.run(keys.parser().parse_args(arguments))


async def test_a_key_is_printed_once_and_works_until_it_is_revoked(
    dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service.running():
        await add_user("ada")
    assert await command("issue", "user", "ada", "--days", "30", "--label", "phone") == 0
    key = capsys.readouterr().out.strip()
    async with service.running():
        async with reading_as(database, key) as connection:
            found = await viewer(connection)
        assert found is not None
        assert found.name == "Ada"
        assert await database.fetchval("SELECT expires_at - created_at > interval '29 days' FROM public.api_keys")
    for expected in (0, 1):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{key}\n"))
        assert await command("revoke") == expected
    assert await command("issue", "trainer", "nobody") == 1
    assert capsys.readouterr().out == ""
