"""While searching fails nobody waits for it, and what is remembered is answered."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from roadworthy import testing
from sitesearch.search import find
from sitesearch.search.find import Site
from sitesearch.service import searching, service


async def _search(client: httpx.AsyncClient, garden: Site, query: str) -> httpx.Response:
    return await client.get("/search", params={"site": garden.slug, "q": query})


async def test_while_searches_fail_nobody_waits_for_one_and_what_is_remembered_is_answered(
    client: httpx.AsyncClient, garden: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await _search(client, garden, "compost")).status_code == 200
    asked = 0

    async def fails(*_: Any, **__: Any) -> None:
        nonlocal asked
        asked += 1
        raise TimeoutError

    monkeypatch.setattr(find, "_search", fails)
    for number in range(30):
        answer = await _search(client, garden, f"heap {number}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "took too long" in answer.text
    assert asked < 30
    assert searching.breaker.state == "open"
    assert testing.metric(service, "breaker_state", breaker="searching") == 2
    assert (await _search(client, garden, "compost")).status_code == 200


async def test_slow_searches_leave_connections_to_everything_else(
    client: httpx.AsyncClient, garden: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, go_on, running, most = find._search, asyncio.Event(), 0, 0

    async def slow(*arguments: Any, **options: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await go_on.wait()
            return await search(*arguments, **options)
        finally:
            running -= 1

    monkeypatch.setattr(find, "_search", slow)
    waiting = [asyncio.create_task(_search(client, garden, f"compost {number}")) for number in range(20)]
    async with asyncio.timeout(60):
        while most < 6:
            await asyncio.sleep(0.01)
    assert (await client.get(f"/sites/{garden.slug}")).status_code == 200
    go_on.set()
    answers = await asyncio.gather(*waiting)
    assert most == 6
    # On a busy machine some of those that wait run out of patience before the six go on.
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert sum(answer.status_code == 200 for answer in answers) >= 6
