from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI
from starlette.responses import StreamingResponse

from roadworthy import Service, seconds
from roadworthy.binding import Binding
from roadworthy.http import measuring
from roadworthy.http.draining import Drain
from roadworthy.http.exchange import Exchange
from roadworthy.http.measuring import Measuring
from roadworthy.http.stack import install
from roadworthy.telemetry.metrics import OTHER_METHOD, UNMATCHED_ROUTE, catalogue
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.telemetry.spec import OVERFLOW


async def ok(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def scope(**changes: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "headers": [], "http_version": "1.1", **changes}


async def swallow(message: Any) -> None:
    return None


async def nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def test_methods_are_bounded(serve: Any) -> None:
    async with serve(ok) as running:
        for method in ("GET", "BREW", "PROPFIND", "get"):
            await running.stack(scope(method=method), nothing, swallow)
        assert running.counted() == {
            ("GET", UNMATCHED_ROUTE, "200"): 1,
            (OTHER_METHOD, UNMATCHED_ROUTE, "200"): 3,
        }


async def test_routes_are_bounded_even_if_an_app_names_them_by_the_path(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_MOST_CACHED", 10)
    async with serve(ok, route=lambda scope, status: scope["path"]) as running:
        for number in range(600):
            await running.stack(scope(path=f"/{number}"), nothing, swallow)
        counted = running.counted()
    assert len(counted) == 501
    assert counted["GET", OVERFLOW, "200"] == 100


async def test_durations_end_with_the_last_byte() -> None:
    time = [0.0]

    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in range(3):
            time[0] += 1
            await send({"type": "http.response.body", "body": b"x", "more_body": chunk < 2})
        time[0] += 100

    service = Service("tested")
    metrics = MetricRegistry(catalogue())
    drain = Drain()
    layer = Measuring(streaming, service, drain, clock=lambda: time[0])
    unused: Any = None
    async with service.bind(Binding(unused, unused, metrics)):
        await layer(scope(), nothing, Exchange(scope(), swallow, drain))
    labels = {"method": "GET", "route": UNMATCHED_ROUTE}
    assert metrics.value("http_request_duration_seconds_sum", labels) == 3
    assert metrics.value("http_request_duration_seconds_count", labels) == 1


async def test_a_background_task_is_no_part_of_the_request(serve: Any) -> None:
    seen: list[dict[Any, float]] = []
    app = FastAPI()

    async with serve(app) as running:

        @app.get("/")
        async def endpoint(tasks: BackgroundTasks) -> dict[str, str]:
            tasks.add_task(lambda: seen.append(running.counted()))
            return {}

        await running.client.get("/")
    assert seen == [{("GET", "/", "200"): 1}]


async def test_a_routes_errors_are_born_at_zero(serve: Any) -> None:
    async with serve(ok) as running:
        await running.client.get("/")
        labels = {"method": "GET", "route": UNMATCHED_ROUTE, "status": "500"}
        assert running.metrics.value("http_requests_total", labels) == 0


async def test_declared_thresholds_are_buckets(serve: Any) -> None:
    service = Service("tested")
    service.slo("fast", objective=0.95, under=seconds(0.2))
    service.slo("slow", objective=0.99, under=seconds(20))
    async with serve(ok, service) as running:
        await running.client.get("/")
        for bound in ("0.2", "20.0", "40.0"):
            labels = {"method": "GET", "route": UNMATCHED_ROUTE, "le": bound}
            assert running.metrics.value("http_request_duration_seconds_bucket", labels) == 1


async def test_requests_in_progress(serve: Any) -> None:
    seen: list[float | None] = []

    async with serve(ok) as running:
        await running.client.get("/")

        async def looking(scope: Any, receive: Any, send: Any) -> None:
            seen.append(running.metrics.value("http_requests_in_progress"))
            await ok(scope, receive, send)

        running.stack._edging._app = looking
        await running.client.get("/")
        assert seen == [1]
        assert running.metrics.value("http_requests_in_progress") == 0


async def test_a_client_that_went_away_counts_as_499(serve: Any) -> None:
    async def cancelled(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    async def gone(message: Any) -> None:
        raise OSError("the client is gone")

    async def unfinished(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async with serve(ok) as running:
        await running.stack(scope(), nothing, gone)
        assert running.counted() == {("GET", UNMATCHED_ROUTE, "499"): 1}
    async with serve(unfinished) as running:
        await running.stack(scope(), nothing, swallow)
        assert running.counted() == {("GET", UNMATCHED_ROUTE, "499"): 1}
    async with serve(cancelled) as running:
        with pytest.raises(asyncio.CancelledError):
            await running.stack(scope(), nothing, swallow)
        assert running.counted() == {("GET", UNMATCHED_ROUTE, "499"): 1}


async def test_a_listener_that_leaves_a_stream_counts_as_499(serve: Any) -> None:
    app = FastAPI()
    leaving = asyncio.Event()

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def forever() -> Any:
            while True:
                yield b"data: x\n\n"
                leaving.set()
                await asyncio.sleep(0)

        return StreamingResponse(forever())

    async def disconnecting() -> dict[str, Any]:
        await leaving.wait()
        return {"type": "http.disconnect"}

    async with serve(app) as running:
        old_protocol = scope(path="/events", query_string=b"", asgi={"version": "3.0", "spec_version": "2.3"})
        await asyncio.wait_for(running.stack(old_protocol, disconnecting, swallow), 60)
        assert running.counted() == {("GET", "/events", "499"): 1}


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b"x"}],
        [{"type": "http.response.pathsend", "path": "/x"}],
        [
            {"type": "http.response.body", "body": b"x", "trailers": True},
            {"type": "http.response.trailers", "headers": []},
        ],
    ],
)
async def test_every_way_to_end_a_response_ends_it(serve: Any, messages: list[dict[str, Any]]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        trailers = len(messages) > 1
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": trailers})
        for message in messages:
            await send(message)

    async with serve(app) as running:
        await running.stack(scope(), nothing, swallow)
        assert running.counted() == {("GET", UNMATCHED_ROUTE, "200"): 1}


async def test_a_service_that_is_not_running_is_served_unmeasured() -> None:
    stack = install(ok, Service("tested"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(stack), base_url="http://tested") as client:
        assert (await client.get("/")).text == "ok"


async def test_a_service_that_runs_again_counts_anew(serve: Any) -> None:
    service = Service("tested")
    stack = install(ok, service)
    unused: Any = None
    for _ in range(2):
        metrics = MetricRegistry(catalogue())
        async with service.bind(Binding(unused, unused, metrics)):
            await stack(scope(), nothing, swallow)
        labels = {"method": "GET", "route": UNMATCHED_ROUTE, "status": "200"}
        assert metrics.value("http_requests_total", labels) == 1


async def test_what_an_objective_counts_is_there_before_the_first_request() -> None:
    service = Service("shop")
    service.slo("availability", objective=0.99)
    service.slo("fast", objective=0.9, under=seconds(0.1), route="POST /orders")
    registry = MetricRegistry(catalogue(service.spec.request_buckets), service="shop", service_version="1")
    async with service.bind(Binding(None, None, registry)):  # type: ignore[arg-type]
        Measuring(ok, service, Drain()).bind()  # type: ignore[arg-type]
    series = {(sample.name, sample.labels) for family in registry.snapshot().families for sample in family.samples}
    for status in ("404", "500"):
        assert ("http_requests_total", (("method", "GET"), ("route", UNMATCHED_ROUTE), ("status", status))) in series
    orders = (("method", "POST"), ("route", "/orders"))
    assert ("http_request_duration_seconds_bucket", (*orders, ("le", "0.1"))) in series
    assert ("http_requests_total", (*orders, ("status", "500"))) in series


async def test_a_recorded_trace_is_an_example_of_its_duration() -> None:
    time, traces = [0.0], iter([None, "a" * 32])

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        time[0] += 0.03
        await ok(scope, receive, send)

    service, metrics, drain = Service("tested"), MetricRegistry(catalogue()), Drain()
    layer = Measuring(slow, service, drain, clock=lambda: time[0], trace=lambda: next(traces))
    unused: Any = None
    async with service.bind(Binding(unused, unused, metrics)):
        for _ in range(2):
            await layer(scope(), nothing, Exchange(scope(), swallow, drain))
    (series,) = next(one for one in metrics.snapshot().families if one.name == "http_request_duration_seconds").series
    (example,) = series.exemplars
    assert (example.trace, example.bucket) == ("a" * 32, 3)
    assert sum(series.numbers[:-1]) == 2
