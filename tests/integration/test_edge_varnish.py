"""A real Varnish with the emitted configuration, before a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_origin import Served, declared, free_port, origin, proxy
from roadworthy import Service
from roadworthy.edge.client import HttpClient
from roadworthy.edge.purge import Batch
from roadworthy.edge.varnish import VarnishApi
from roadworthy.emit.varnish import Origin, varnish_vcl

pytestmark = pytest.mark.needs("varnishd")


@dataclass
class Edge:
    client: httpx.AsyncClient
    served: Served
    dying: AsyncExitStack
    purging: VarnishApi

    async def get(self, path: str, **headers: str) -> tuple[httpx.Response, str]:
        """Return the response and what Varnish says of it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.client.get(path, headers=named)
        return response, response.headers.get("cache-status", "")

    async def purge(self, kind: Any, *values: str) -> None:
        answer = await self.purging.send(Batch(kind, values, "reference", 0.0))
        assert answer.verdict == "accepted", answer


@asynccontextmanager
async def edge(directory: Path, service: Service | None = None, purger: str = "127.0.0.1") -> AsyncIterator[Edge]:
    service = service or declared("varnish")
    served, port = Served(), free_port()
    async with AsyncExitStack() as dying:
        behind = await dying.enter_async_context(origin(service, served))
        configuration = directory / "default.vcl"
        configuration.write_text(varnish_vcl(service.spec, origin=Origin(port=behind), purgers=(purger,)))
        command = (
            *("varnishd", "-F", "-j", "none", "-n", str(directory / "run"), "-a", f"127.0.0.1:{port}"),
            *("-f", str(configuration), "-s", "malloc,16m", "-T", "none"),
        )
        async with proxy(port, directory, *command) as client:
            purging = VarnishApi(f"http://127.0.0.1:{port}", None, HttpClient(), lambda: datetime.now(UTC))
            yield Edge(client, served, dying, purging)


async def test_what_is_shared_is_kept_as_declared_and_what_is_private_never(tmp_path: Path) -> None:
    async with edge(tmp_path) as varnish:
        first, status = await varnish.get("/page/7")
        assert status == "varnish; fwd=uri-miss"
        second, status = await varnish.get("/page/7")
        assert (second.json(), status) == (first.json(), "varnish; hit")
        assert second.headers["cache-control"] == "public, max-age=10"
        assert not {"cache-tag", "cdn-cache-control", "x-edge-url", "x-edge-host"} & set(second.headers)
        unchanged, _ = await varnish.get("/page/7", if_none_match=first.headers["etag"])
        assert unchanged.status_code == 304
        kept, _ = await varnish.get("/asset")
        again, status = await varnish.get("/asset")
        assert (again.json(), status) == (kept.json(), "varnish; hit")
        for path in ("/me", "/cookie", "/undeclared"):
            one, _ = await varnish.get(path)
            varnish.client.cookies.clear()
            other, _ = await varnish.get(path)
            varnish.client.cookies.clear()
            assert one.json() != other.json(), path


async def test_credentials_pass_by_what_is_kept(tmp_path: Path) -> None:
    async with edge(tmp_path) as varnish:
        shared, _ = await varnish.get("/page/7")
        for header in ("authorization", "cookie"):
            mine, status = await varnish.get("/page/7", **{header: "a=1"})
            assert status == "varnish; fwd=bypass"
            assert mine.json()["number"] != shared.json()["number"]
        after, status = await varnish.get("/page/7")
        assert (after.json(), status) == (shared.json(), "varnish; hit")


async def test_what_does_not_count_reaches_nobody(tmp_path: Path) -> None:
    async with edge(tmp_path) as varnish:
        first, _ = await varnish.get("/search?utm=1&q=a%26b&page=2&qq=3", cookie="a=1", accept_language="fr,de-AT")
        assert first.json()["query"] == "q=a%26b&page=2"
        assert (first.json()["cookie"], first.json()["language"]) == (None, "de")
        same, status = await varnish.get("/search?page=2&q=a%26b", accept_language="de")
        assert (same.json(), status) == (first.json(), "varnish; hit")
        for language, seen in (("en-GB,de", "en"), ("fr", None), ("den", None)):
            other, _ = await varnish.get("/search?page=2&q=a%26b", accept_language=language)
            assert other.json()["language"] == seen
        none, _ = await varnish.get("/search?utm=1")
        assert none.json()["query"] == ""


async def test_vary_is_respected(tmp_path: Path) -> None:
    async with edge(tmp_path) as varnish:
        one, _ = await varnish.get("/plain", x_kind="a")
        other, status = await varnish.get("/plain", x_kind="b")
        assert status == "varnish; fwd=uri-miss"
        again, status = await varnish.get("/plain", x_kind="b")
        assert (again.json(), status) == (other.json(), "varnish; hit")
        assert one.json() != other.json()


async def test_purging_by_tag_url_prefix_and_all(tmp_path: Path) -> None:
    async with edge(tmp_path) as varnish:
        paths = ("/page/7", "/page/77", "/plain")
        address = str(varnish.client.base_url).rstrip("/")

        async def gone() -> list[str]:
            return [path for path in paths if "hit" not in (await varnish.get(path))[1]]

        assert await gone() == list(paths)
        assert await gone() == []
        await varnish.purge("tag", "page:7", "nobody")
        assert await gone() == ["/page/7"]
        await varnish.purge("tag", "all")
        assert await gone() == list(paths)
        await varnish.purge("url", f"{address}/page/77")
        assert await gone() == ["/page/77"]
        await varnish.purge("prefix", f"{address}/page/")
        assert await gone() == ["/page/7", "/page/77"]
        await varnish.purge("prefix", "http://elsewhere.example/page/")
        assert await gone() == []
        await varnish.purge("everything", "")
        assert await gone() == list(paths)


async def test_a_stranger_purges_nothing_and_nonsense_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    async with edge(tmp_path / "own") as varnish:
        for headers in ({}, {"cache-tag-pattern": "a || obj.status"}, {"url-pattern": "("}):
            assert (await varnish.client.request("BAN", "/", headers=headers)).status_code == 400
    (tmp_path / "other").mkdir()
    async with edge(tmp_path / "other", purger="192.0.2.1") as varnish:
        await varnish.get("/page/7")
        for method in ("BAN", "PURGE"):
            headers = {"cache-tag-pattern": "."}
            assert (await varnish.client.request(method, "/page/7", headers=headers)).status_code == 403
        assert (await varnish.get("/page/7"))[1] == "varnish; hit"


async def test_lifetimes_and_staleness_are_each_responses_own(tmp_path: Path) -> None:
    async with edge(tmp_path) as varnish:
        before: dict[str, Any] = {}
        for path in ("/short", "/stale", "/spare", "/page/7"):
            before[path] = (await varnish.get(path))[0].json()
        await asyncio.sleep(1.1)
        assert (await varnish.get("/page/7"))[1] == "varnish; hit"
        assert (await varnish.get("/short"))[0].json() != before["/short"]
        # Served stale while it is fetched anew.
        assert (await varnish.get("/stale"))[0].json() == before["/stale"]
        for _ in range(100):
            if varnish.served.calls["stale"] == 2:
                break
            await asyncio.sleep(0.02)
        assert varnish.served.calls["stale"] == 2
        # Asked for first; served stale only where that fails.
        varnish.served.status = 503
        spare, status = await varnish.get("/spare")
        assert (spare.json(), status) == (before["/spare"], "varnish; hit; detail=stale-if-error")
        assert varnish.served.calls["spare"] >= 2
        varnish.served.status = 200
        assert (await varnish.get("/spare"))[0].status_code == 200
        await varnish.dying.aclose()
        await asyncio.sleep(1.1)
        assert (await varnish.get("/stale"))[0].status_code == 200
        assert (await varnish.get("/spare"))[0].status_code == 200
        assert (await varnish.get("/page/7"))[0].json() == before["/page/7"]
        assert (await varnish.get("/short"))[0].status_code == 503


async def test_headers_for_a_cdn_further_out_pass_through(tmp_path: Path) -> None:
    async with edge(tmp_path, declared("varnish", "cloudflare")) as varnish:
        response, _ = await varnish.get("/page/7")
        assert response.headers["cache-tag"] == "page:7,all"
        assert response.headers["cdn-cache-control"] == "max-age=300"
