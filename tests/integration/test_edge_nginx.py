"""A real nginx with the emitted configuration, before a service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_origin import Served, declared, free_port, origin, proxy
from roadworthy import Service
from roadworthy.emit.nginx import nginx_http, nginx_location

pytestmark = pytest.mark.needs("nginx")

_SERVER = """\
{user}pid {directory}/nginx.pid;
error_log {directory}/error.log;
daemon off;
worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/http.conf;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            include {directory}/location.conf;
            proxy_pass http://127.0.0.1:{origin};
        }}
    }}
}}
"""


@dataclass
class Edge:
    client: httpx.AsyncClient
    served: Served
    dying: AsyncExitStack

    async def get(self, path: str, **headers: str) -> tuple[httpx.Response, str]:
        """Return the response and what nginx says of it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.client.get(path, headers=named)
        return response, response.headers.get("cache-status", "")


@asynccontextmanager
async def edge(directory: Path, service: Service | None = None) -> AsyncIterator[Edge]:
    service = service or declared("nginx")
    served, port = Served(), free_port()
    async with AsyncExitStack() as dying:
        behind = await dying.enter_async_context(origin(service, served))
        (directory / "http.conf").write_text(nginx_http(service.spec, cache=f"{directory}/cache"))
        (directory / "location.conf").write_text(nginx_location(service.spec))
        user = "user root root;\n" if os.geteuid() == 0 else ""
        configuration = _SERVER.format(user=user, directory=directory, port=port, origin=behind)
        (directory / "nginx.conf").write_text(configuration)
        async with proxy(port, directory, "nginx", "-p", str(directory), "-c", "nginx.conf") as client:
            yield Edge(client, served, dying)


async def test_what_is_shared_is_kept_as_declared_and_what_is_private_never(tmp_path: Path) -> None:
    async with edge(tmp_path) as nginx:
        first, status = await nginx.get("/page/7")
        assert status == "nginx; fwd=uri-miss"
        second, status = await nginx.get("/page/7")
        assert status == "nginx; hit"
        assert second.json() == first.json()
        assert second.headers["cache-control"] == "public, max-age=10"
        assert second.headers["etag"] == first.headers["etag"]
        assert not {"cache-tag", "cdn-cache-control"} & set(second.headers)
        unchanged, _ = await nginx.get("/page/7", if_none_match=first.headers["etag"])
        assert unchanged.status_code == 304
        for path in ("/me", "/cookie", "/undeclared"):
            one, _ = await nginx.get(path)
            other, _ = await nginx.get(path)
            assert one.json() != other.json(), path
        nginx.client.cookies.clear()
        kept, _ = await nginx.get("/asset")
        again, status = await nginx.get("/asset")
        assert (again.json(), status) == (kept.json(), "nginx; hit")
        assert again.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_credentials_pass_by_what_is_kept(tmp_path: Path) -> None:
    async with edge(tmp_path) as nginx:
        shared, _ = await nginx.get("/page/7")
        for header in ("authorization", "cookie"):
            mine, status = await nginx.get("/page/7", **{header: "a=1"})
            assert status == "nginx; fwd=bypass"
            assert mine.json()["number"] != shared.json()["number"]
            _, status = await nginx.get("/page/7", **{header: "a=b|"})
            assert status == "nginx; fwd=bypass"
        after, status = await nginx.get("/page/7")
        assert (after.json(), status) == (shared.json(), "nginx; hit")
        # The client's own conditions reach the service where nothing is kept.
        mine, _ = await nginx.get("/page/8", cookie="a=1")
        calls = nginx.served.calls["page/8"]
        again, _ = await nginx.get("/page/8", cookie="a=1", if_none_match="*")
        assert again.status_code == 304
        assert nginx.served.calls["page/8"] == calls + 1


async def test_what_does_not_count_reaches_nobody(tmp_path: Path) -> None:
    async with edge(tmp_path) as nginx:
        first, _ = await nginx.get("/search?utm=1&q=a%26b&page=2&q=second", cookie="a=1")
        assert first.json()["query"] == "q=a%26b&page=2"
        assert first.json()["cookie"] is None
        for path in ("/search?q=a%26b&page=2&utm=2", "/search?page=2&q=a%26b"):
            same, status = await nginx.get(path, cookie="b=2")
            assert (same.json(), status) == (first.json(), "nginx; hit"), path
        other, status = await nginx.get("/search?q=b&page=2")
        assert (other.json()["query"], status) == ("q=b&page=2", "nginx; fwd=uri-miss")
        # An encoded question mark is no query.
        one, _ = await nginx.get("/page/a%3Fb=1")
        two, _ = await nginx.get("/page/a?b=1")
        assert one.json() != two.json()


async def test_vary_is_respected(tmp_path: Path) -> None:
    async with edge(tmp_path) as nginx:
        one, _ = await nginx.get("/plain", x_kind="a")
        other, status = await nginx.get("/plain", x_kind="b")
        assert status == "nginx; fwd=uri-miss"
        again, status = await nginx.get("/plain", x_kind="b")
        assert (again.json(), status) == (other.json(), "nginx; hit")
        assert one.json() != other.json()


async def test_lifetimes_and_staleness_are_each_responses_own(tmp_path: Path) -> None:
    async with edge(tmp_path) as nginx:
        before: dict[str, Any] = {}
        for path in ("/short", "/stale", "/spare", "/page/7"):
            before[path] = (await nginx.get(path))[0].json()
        await asyncio.sleep(2.1)
        assert (await nginx.get("/page/7"))[1] == "nginx; hit"
        assert (await nginx.get("/short"))[0].json() != before["/short"]
        # Served stale while it is fetched anew.
        stale, status = await nginx.get("/stale")
        assert (stale.json(), status) == (before["/stale"], "nginx; hit; detail=stale")
        assert stale.headers["cache-control"] == "public, max-age=0, must-revalidate"
        for _ in range(100):
            if nginx.served.calls["stale"] == 2:
                break
            await asyncio.sleep(0.02)
        assert nginx.served.calls["stale"] == 2
        # Asked for first; an answer that is an error is passed on.
        nginx.served.status = 503
        assert (await nginx.get("/spare"))[0].status_code == 503
        await nginx.dying.aclose()
        assert (await nginx.get("/stale"))[0].status_code == 200
        spare, status = await nginx.get("/spare")
        assert (spare.json(), status) == (before["/spare"], "nginx; hit; detail=stale")
        assert (await nginx.get("/page/7"))[0].json() == before["/page/7"]
        await asyncio.sleep(2.1)
        short, status = await nginx.get("/short")
        assert (short.status_code, status) == (502, "nginx; fwd=stale")


async def test_headers_for_a_cdn_further_out_pass_through(tmp_path: Path) -> None:
    async with edge(tmp_path, declared("nginx", "cloudflare")) as nginx:
        response, _ = await nginx.get("/page/7")
        assert response.headers["cache-tag"] == "page:7,all"
        assert response.headers["cdn-cache-control"] == "max-age=300"
