"""Fetching: conditional requests, charsets, caps, time-outs, and connections to vetted addresses alone."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from hostile import hostile
from sites import Handler, Request, Site, answer, redirect, serving

from roadworthy.security.egress import EgressGuard
from sitesearch.crawl.fetch import Fetcher, Limits, Validators
from sitesearch.crawl.outcomes import Failed, Fetched, NotModified, Reason, Redirected, Refused

QUICK = Limits(connect=1.0, read=0.4, total=1.5)


@asynccontextmanager
async def fetching(limits: Limits = QUICK, **routes: Handler) -> AsyncIterator[tuple[Site, Fetcher]]:
    site = Site(routes={f"/{path}": handler for path, handler in routes.items()})
    async with serving(site), Fetcher.open(EgressGuard(frozenset({("127.0.0.1", site.port)})), limits) as fetcher:
        yield site, fetcher


async def test_a_page_is_fetched_politely_named() -> None:
    headers = {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT", "X-Robots-Tag": "NoIndex"}
    async with fetching(a=answer("hello", media_type="text/html; charset=ISO-8859-5", headers=headers)) as (
        site,
        fetcher,
    ):
        result = await fetcher.fetch(f"{site.url}/a")
    assert result == Fetched(
        f"{site.url}/a", b"hello", "text/html", "ISO-8859-5", '"1"', headers["Last-Modified"], "noindex", 5
    )
    assert site.requests[0].headers["user-agent"] == "sitesearch/1.0"
    assert site.requests[0].headers["accept-encoding"] == "gzip, deflate"


async def test_the_user_agent_tells_whom_to_ask() -> None:
    guard = EgressGuard(frozenset({("127.0.0.1", None)}))
    async with serving(Site()) as site, Fetcher.open(guard, contact="https://example.org/crawler\r\n") as fetcher:
        await fetcher.fetch(f"{site.url}/")
    assert site.requests[0].headers["user-agent"] == "sitesearch/1.0 (+https://example.org/crawler)"


async def test_a_conditional_request_is_answered_not_modified() -> None:
    async with fetching(a=answer(status=304)) as (site, fetcher):
        result = await fetcher.fetch(f"{site.url}/a", validators=Validators('"1"', "yesterday"))
    assert result == NotModified()
    assert site.requests[0].headers["if-none-match"] == '"1"'
    assert site.requests[0].headers["if-modified-since"] == "yesterday"


_RAW = zlib.compressobj(9, zlib.DEFLATED, -15)
_RAW_DEFLATE = _RAW.compress(b"hello " * 1000) + _RAW.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"hello " * 1000, mtime=0)),
        ("x-gzip", gzip.compress(b"hello " * 400, mtime=0) + gzip.compress(b"hello " * 600, mtime=0)),
        ("deflate", zlib.compress(b"hello " * 1000)),
        ("deflate", _RAW_DEFLATE),
        ("identity", b"hello " * 1000),
    ],
)
async def test_bodies_are_decompressed(encoding: str, body: bytes) -> None:
    async with fetching(a=answer(body, headers={"Content-Encoding": encoding})) as (site, fetcher):
        result = await fetcher.fetch(f"{site.url}/a")
    assert isinstance(result, Fetched)
    assert result.body == b"hello " * 1000
    assert result.size == len(body)


async def test_redirects_are_followed_and_vetted_one_by_one() -> None:
    asked = []

    async def hop(target: str) -> Redirected | None:
        asked.append(target)
        return Redirected(target) if target.endswith("/c") else None

    async with fetching(a=redirect("/b"), b=redirect("c"), c=answer("end")) as (site, fetcher):
        followed = await fetcher.fetch(f"{site.url}/a")
        stopped = await fetcher.fetch(f"{site.url}/a", hop=hop)
    assert isinstance(followed, Fetched)
    assert followed.url == f"{site.url}/c"
    assert stopped == Redirected(f"{site.url}/c")
    assert asked == [f"{site.url}/b", f"{site.url}/c"]


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, timedelta(seconds=7)),
        (
            {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"},
            timedelta(seconds=30),
        ),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, timedelta(0)),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
async def test_a_busy_server_says_when_to_come_back(headers: dict[str, str], wait: timedelta | None) -> None:
    async with fetching(a=answer(status=429, headers=headers)) as (site, fetcher):
        result = await fetcher.fetch(f"{site.url}/a")
    assert result == Failed(Reason.SERVER_BUSY, "429 Too Many Requests", wait)


async def test_a_body_past_the_cap_is_refused_or_cut() -> None:
    async with fetching(a=answer("x" * 5000)) as (site, fetcher):
        refused = await fetcher.fetch(f"{site.url}/a", largest=1000)
        cut = await fetcher.fetch(f"{site.url}/a", largest=1000, truncate=True)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.TOO_LARGE
    assert isinstance(cut, Fetched)
    assert cut.body == b"x" * 1000


async def test_no_more_of_a_huge_body_is_received_than_needed() -> None:
    site = hostile()
    async with serving(site), Fetcher.open(EgressGuard(frozenset({("127.0.0.1", site.port)}))) as fetcher:
        result = await fetcher.fetch(f"{site.url}/gibibyte", largest=100_000)
    assert isinstance(result, Refused)
    assert result.reason is Reason.TOO_LARGE


async def test_private_hosts_are_not_even_connected_to() -> None:
    async with serving(Site()) as site, Fetcher.open(EgressGuard()) as fetcher:
        for address in (site.url, f"http://localhost:{site.port}", f"http://[::ffff:127.0.0.1]:{site.port}"):
            result = await fetcher.fetch(f"{address}/")
            assert isinstance(result, Refused)
            assert result.reason is Reason.PRIVATE_ADDRESS
    assert site.requests == []


async def test_a_name_that_changes_its_address_is_connected_to_where_it_was_vetted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    lookups = []

    async def getaddrinfo(self: object, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        lookups.append(host)
        found = answers[min(len(lookups), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    async with serving(Site(routes={"/a": answer("hello")})) as site:
        loop = type(asyncio.get_running_loop())
        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        async with Fetcher.open(EgressGuard(frozenset({("rebinding.example", site.port)}))) as fetcher:
            first = await fetcher.fetch(f"http://rebinding.example:{site.port}/a")
        async with Fetcher.open(EgressGuard()) as fetcher:
            second = await fetcher.fetch(f"http://rebinding.example:{site.port}/a")
    assert isinstance(first, Fetched)
    assert isinstance(second, Refused)
    assert second.reason is Reason.PRIVATE_ADDRESS
    assert len(lookups) == 2


async def test_no_such_host_and_no_such_port_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async with serving(Site()) as site:
        pass
    async with Fetcher.open(EgressGuard(frozenset({("127.0.0.1", None), ("gone.example", None)})), QUICK) as fetcher:
        refused = await fetcher.fetch(f"{site.url}/")
        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)
        unknown = await fetcher.fetch("http://gone.example/")
    assert isinstance(refused, Failed)
    assert refused.reason is Reason.CONNECTION
    assert isinstance(unknown, Failed)
    assert unknown.reason is Reason.NO_SUCH_HOST


async def test_large_bodies_that_wait_for_one_another_all_arrive() -> None:
    async def large(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + b"x" * 200_000)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"x" * 200_000)
        await writer.drain()
        raise ConnectionResetError

    limits = Limits(large=100_000, large_bodies=2, total=10)
    async with fetching(limits, a=large) as (site, fetcher):
        results = await asyncio.gather(*(fetcher.fetch(f"{site.url}/a") for _ in range(8)))
    assert [len(result.body) for result in results if isinstance(result, Fetched)] == [400_000] * 8
