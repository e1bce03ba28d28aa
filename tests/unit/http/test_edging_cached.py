"""Routes that are declared to be kept in the service's own cache."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request

from roadworthy import Service, edge_tags, hours, minutes, private, shared
from roadworthy.binding import Binding
from roadworthy.cache.caches import Caches, OpenCache
from roadworthy.cache.node import Node
from roadworthy.cache.tags import tag_of
from roadworthy.edge.spec import RESPONSES
from roadworthy.http.stack import install
from roadworthy.telemetry.metrics import catalogue
from roadworthy.telemetry.registry import MetricRegistry


def application() -> FastAPI:
    app, numbers = FastAPI(), itertools.count()

    @app.get("/pages/mine")
    async def mine() -> int:
        return next(numbers)

    @app.get("/pages/{id}")
    async def page(id: str, request: Request) -> dict[str, Any]:
        edge_tags("all")
        return {"id": id, "number": next(numbers), "query": request.url.query}

    @app.post("/pages/{id}")
    async def change(id: str) -> None: ...

    @app.get("/other")
    async def other() -> int:
        return next(numbers)

    return app


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[tuple[httpx.AsyncClient, OpenCache, MetricRegistry]]:
    stack = install(application(), service)
    metrics = MetricRegistry(catalogue())
    unused: Any = None
    async with (
        Caches.open(service.name, service.spec.caches, Node(None, node=0)) as caches,
        service.bind(Binding(unused, unused, metrics, caches=caches)),
        httpx.AsyncClient(transport=httpx.ASGITransport(stack), base_url="http://tested") as client,
    ):
        yield client, caches.of(RESPONSES), metrics


def declared() -> Service:
    service = Service("tested")
    service.edge("GET /pages/{id}", shared(edge=hours(1), query=("q",)), tags=("page:{id}",), cached=True)
    service.edge("GET /short/{id}", shared(edge=minutes(1)), cached=True)
    return service


def test_the_cache_keeps_what_is_declared_to_be_kept_longest() -> None:
    service = declared()
    (cache,) = service.spec.caches
    assert (cache.name, cache.ttl) == (RESPONSES, hours(1))
    service.edge("GET /long", shared(edge=hours(2), stale_if_error=hours(5)), cached=True)
    (cache,) = service.spec.caches
    assert cache.ttl == hours(7)


async def test_a_response_is_kept_by_what_counts_until_a_tag_of_its_goes() -> None:
    async with served(declared()) as (client, cache, metrics):
        first = await client.get("/pages/7?utm=1&q=a")
        assert first.json()["query"] == "q=a"
        assert "fwd=uri-miss" in first.headers["cache-status"]
        same = await client.get("/pages/7?q=a&utm=2")
        assert same.json() == first.json()
        assert "hit" in same.headers["cache-status"]
        assert same.headers["cache-control"] == "public, max-age=0, must-revalidate"
        assert "cache-tag" not in first.headers
        assert "cache-tag" not in same.headers
        unchanged = await client.get("/pages/7?q=a", headers={"if-none-match": first.headers["etag"]})
        assert unchanged.status_code == 304
        for tag in ("all", "page:7"):
            kept = (await client.get("/pages/7?q=a")).json()
            await cache.invalidate([tag_of(tag)])
            assert (await client.get("/pages/7?q=a")).json() != kept
        counted = {"method": "GET", "route": "/pages/{id}", "status": "200"}
        assert metrics.value("http_requests_total", counted) == 6


async def test_a_change_by_its_own_url_ends_what_is_kept() -> None:
    async with served(declared()) as (client, _, _):
        first = await client.get("/pages/7")
        assert (await client.post("/pages/7")).status_code == 200
        assert (await client.get("/pages/7")).json() != first.json()


async def test_what_is_not_declared_is_not_kept_though_its_path_fits() -> None:
    async with served(declared()) as (client, _, _):
        for path in ("/pages/mine", "/other"):
            assert (await client.get(path)).json() != (await client.get(path)).json()
        assert "cache-status" not in (await client.get("/other")).headers


async def test_tags_go_further_where_they_are_read() -> None:
    service = declared()
    service.behind("fastly")
    async with served(service) as (client, _, _):
        assert (await client.get("/pages/7")).headers["surrogate-key"] == "page:7 all"
        kept = await client.get("/pages/7")
        assert kept.headers["surrogate-key"] == "page:7 all"
        assert "hit" in kept.headers["cache-status"]


async def test_a_service_without_anything_cached_has_no_cache() -> None:
    service = Service("tested")
    service.edge("GET /pages/{id}", private())
    assert service.spec.caches == ()
