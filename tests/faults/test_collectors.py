"""Collectors of spans and of errors that work, refuse, hang and are away: requests and jobs do not care."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collecting import Manner, Received, collector
from roadworthy import Service, seconds
from roadworthy.jobs.worker import Worker
from roadworthy.runtime.collectors import Collectors
from roadworthy.runtime.lifecycle import opened
from roadworthy.telemetry.tracing import SPAN, current_trace, trace_headers
from roadworthy.testing.bound import database, metric

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "k7Qz93mXw2LpV5tRb8Nc4HdYs6Fg1JaE"


class Tenant:
    """A service of every part that is traced."""

    def __init__(self, **tracing: Any) -> None:
        service = self.service = Service("traced", version="3.2.1")
        service.tracing(**{"sample": 1.0, **tracing})
        service.error_reports()
        self.database = service.database()
        self.queue = service.queue("work", attempts=1, lease=seconds(15))
        cache = service.cache("answers", tiers=("memory",), ttl=seconds(60))
        away = service.dependency("elsewhere", retry=None)
        self.headers: dict[str, str] = {}

        @self.queue.job()
        async def ship(order: int) -> None:
            await self.database.fetchval("SELECT 'told to nobody', $1::int", order)
            if order < 0:
                raise ValueError(f"order {order} with token=abc123 and {SECRET}")

        self.ship = ship

        @cache.cached(key="{n}")
        async def answer(n: int) -> int:
            return int(await self.database.fetchval("SELECT $1::int", n))

        async def call() -> int:
            self.headers = trace_headers()
            return 7

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/broken":
                password = "hunter2"  # noqa: F841 (a local variable, which is not to be told)
                raise RuntimeError(f"cannot answer somebody@example.org: password=hunter2, {SECRET}")
            await answer(1)
            await away.call(call)
            await ship.enqueue(4)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": (current_trace() or "none").encode()})

        self.app = service.install(app)


@asynccontextmanager
async def running(tenant: Tenant, **collectors: str) -> AsyncIterator[httpx.AsyncClient]:
    service = tenant.service
    async with (
        database(service) as dsn,
        opened(
            service.spec,
            dsn,
            name="test",
            share=False,
            told=Collectors(**collectors),
            secrets=lambda: (SECRET,),  # type: ignore[arg-type]
        ) as binding,
        service.bind(binding),
        httpx.AsyncClient(transport=httpx.ASGITransport(tenant.app), base_url="http://traced") as client,
    ):
        yield client


async def worked(service: Service, jobs: int) -> None:
    """Have a worker run so many jobs."""
    binding = service.binding("a worker")
    worker = Worker(
        binding.engine,
        service.spec.jobs,
        service.spec.queues,
        name="w",
        metrics=binding.metrics,
        tracing=binding.tracing,
        reports=binding.error_reports,
    )
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop, seconds(5)))
    for _ in range(3000):
        ended = sum(
            metric(service, "jobs_finished_total", queue="work", job="ship", outcome=one)
            for one in ("succeeded", "dead")
        )
        if ended >= jobs:
            break
        await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(task, 60)


def spans(received: Received) -> dict[str, Any]:
    """Return the spans that arrived, by name; of several alike the last."""
    found = {}
    for path, _, body in received.requests:
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                found.update({span.name: span for span in scope.spans})
    return found


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def test_spans_arrive_with_their_parents_and_links() -> None:
    tenant = Tenant()
    with collector() as received:
        async with running(tenant, otlp_endpoint=received.url) as client:
            response = await client.get("/", headers={"traceparent": PARENT, "x-request-id": "r-1"})
            await worked(tenant.service, 1)
            assert SPAN.get() is None
        found = spans(received)
    assert response.text == PARENT[3:35]
    request, load, call, job = found["GET"], found["load answers"], found["call elsewhere"], found["process ship"]
    assert request.trace_id.hex() == PARENT[3:35]
    assert request.parent_span_id.hex() == PARENT[36:52]
    assert attributes(request)["roadworthy.request_id"] == "r-1"
    assert attributes(request)["http.response.status_code"] == 200
    assert load.parent_span_id == call.parent_span_id == request.span_id
    assert tenant.headers == {"traceparent": f"00-{request.trace_id.hex()}-{call.span_id.hex()}-01"}
    assert job.trace_id != request.trace_id
    assert [(link.trace_id, link.span_id) for link in job.links] == [(request.trace_id, request.span_id)]
    statement = found["SELECT"]
    assert statement.parent_span_id == job.span_id
    assert attributes(statement)["db.query.text"] == "SELECT ?, $1::int"
    assert request.start_time_unix_nano <= load.start_time_unix_nano <= load.end_time_unix_nano


async def test_what_is_not_sampled_is_passed_on_and_not_recorded() -> None:
    tenant = Tenant(sample=0.0)
    with collector() as received:
        async with running(tenant, otlp_endpoint=received.url) as client:
            response = await client.get("/")
            assert response.text == "none"
            assert tenant.headers["traceparent"].endswith("-00")
            unsampled = await client.get("/", headers={"traceparent": f"{PARENT[:-2]}00"})
        assert unsampled.text == "none"
        assert received.requests == []


async def test_a_caller_who_is_not_trusted_neither_samples_nor_names_the_trace() -> None:
    tenant = Tenant(sample=0.0, trust_callers=False)
    with collector() as received:
        async with running(tenant, otlp_endpoint=received.url) as client:
            assert (await client.get("/", headers={"traceparent": PARENT})).text == "none"
    assert received.requests == []
    assert PARENT[3:35] not in tenant.headers["traceparent"]


async def test_without_a_collector_nothing_is_recorded_and_the_callers_word_goes_on() -> None:
    tenant = Tenant()
    async with running(tenant) as client:
        assert (await client.get("/", headers={"traceparent": PARENT})).text == "none"
        assert tenant.headers == {"traceparent": PARENT}


@pytest.mark.parametrize("manner", ["refuses", "hangs", "away"])
async def test_requests_do_not_wait_for_collectors_that_fail(manner: str) -> None:
    tenant = Tenant()
    failing: Manner = "hangs" if manner == "hangs" else "refuses"
    with collector(failing) if manner != "away" else contextlib.nullcontext(Received(9)) as received:
        dsn = f"http://key@127.0.0.1:{received.port}/1"
        async with running(tenant, otlp_endpoint=received.url, sentry_dsn=dsn) as client:
            began = time.monotonic()
            for _ in range(30):
                assert (await client.get("/")).status_code == 200
            for _ in range(150):
                assert (await client.get("/broken")).status_code == 500
            # One that waited for a collector would take its time-out of 5 s.
            assert time.monotonic() - began < 60
            binding = tenant.service.binding("the test")
            assert binding.tracing is not None
            ended = time.monotonic()
        assert time.monotonic() - ended < 30
        total = _totals(binding.metrics, "telemetry_error_reports_total")
        assert total["exported"] == 0
        assert total["dropped"] + total["failed"] == 150
        # More than a minute's worth were refused, and the queue holds no more than it may.
        assert total["dropped"] >= 50
        told = _totals(binding.metrics, "telemetry_spans_total")
        assert told["exported"] == 0
        assert told["dropped"] + told["failed"] >= 180


def _totals(registry: Any, name: str) -> dict[str, float]:
    return {one: registry.value(name, {"outcome": one}) for one in ("exported", "dropped", "failed")}


async def test_errors_arrive_once_with_ids_and_without_secrets() -> None:
    tenant = Tenant()
    with collector() as received:
        async with running(tenant, sentry_dsn=f"http://key@127.0.0.1:{received.port}/42") as client:
            broken = await client.get("/broken", headers={"x-request-id": "r-9", "cookie": "session=1"})
            await tenant.ship.enqueue(-1)
            await worked(tenant.service, 1)
        texts = [body.decode() for _, _, body in received.requests]
        paths = {path for path, _, _ in received.requests}
    assert broken.status_code == 500
    assert paths == {"/api/42/envelope/"}
    assert len(texts) == 2
    (request,) = [one for one in texts if "RuntimeError" in one]
    (job,) = [one for one in texts if "ValueError" in one]
    assert '"request_id":"r-9"' in request
    assert '"release":"traced@3.2.1"' in request
    assert '"job":"ship"' in job
    assert '"job_id":' in job
    for text in texts:
        assert SECRET not in text
        for word in ("abc123", "somebody@", "session", '"vars"'):
            assert word not in text
        # The line of the program is told, which is where this test writes it; the message is masked.
        assert "password=***" in text or "token=***" in text
