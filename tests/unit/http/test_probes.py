from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from roadworthy import DeclarationError, NotRunning, Service, seconds
from roadworthy.health.lag import LoopLag
from roadworthy.health.policy import HealthState, Reading
from roadworthy.health.report import Health
from roadworthy.health.spec import Check
from roadworthy.http.operations import operations_app
from roadworthy.http.probes import PATHS
from roadworthy.http.stack import install
from roadworthy.telemetry.exposition import Family, Series, Snapshot


async def failing() -> list[Reading]:
    raise OSError("cannot reach postgresql://u:hunter2@db")


async def unread() -> Snapshot:
    raise AssertionError


def asked(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tested")


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_probes_answer_before_the_application(serve: Any, path: str) -> None:
    async with serve(FastAPI()) as running:
        response = await running.client.get(path)
        head = await running.client.head(path)
        wrong = await running.client.delete(path)
        assert running.counted() == {}
    assert (response.status_code, response.json()) == (200, {"status": "pass"})
    assert response.headers["content-type"] == "application/health+json"
    assert response.headers["cache-control"] == "no-store"
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "17")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
    assert wrong.headers["content-type"] == "application/problem+json"


async def test_metrics_are_not_on_the_main_port(serve: Any) -> None:
    async with serve(FastAPI()) as running:
        assert (await running.client.get("/metrics")).status_code == 404


async def test_a_service_that_is_not_running_lives_but_is_not_ready() -> None:
    async with asked(install(FastAPI(), Service("tested"))) as client:
        found = {path: (await client.get(path)).status_code for path in PATHS}
    assert found == {"/livez": 200, "/readyz": 503, "/startupz": 503, "/health": 200}


async def test_a_stranger_learns_the_status_alone(serve: Any) -> None:
    service = Service("tested")
    service.database()
    service.queue("mail")
    async with serve(FastAPI(), service) as running:
        response = await running.client.get("/health")
        assert (response.status_code, response.json()) == (503, {"status": "fail"})
        assert (await running.client.get("/readyz")).status_code == 200
        assert (await running.client.get("/livez")).status_code == 200


async def test_the_operations_port_tells_all() -> None:
    health = Health(lambda: HealthState(), [Check("database", failing)], service="s", version="1")

    async def metrics() -> Snapshot:
        return Snapshot((Family("up", "gauge", "Up.", "sum", series=(Series((), (1.0,)),)),))

    async with asked(operations_app(health, metrics)) as client:
        report = await client.get("/health")
        scraped = await client.get("/metrics")
        asking = {"accept": "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.3"}
        openmetrics = await client.get("/metrics", headers=asking)
        head = await client.head("/metrics")
        wrong = await client.post("/metrics")
        missing = await client.get("/")
        assert (await client.get("/readyz")).json() == {"status": "pass"}
    assert report.status_code == 503
    assert report.json()["serviceId"] == "s"
    (found,) = report.json()["checks"]["database"]
    assert (found["status"], found["output"]) == ("fail", "OSError: cannot reach postgresql://u:***@db")
    text = "# HELP up Up.\n# TYPE up gauge\nup 1.0\n"
    assert (scraped.text, scraped.headers["content-type"]) == (text, "text/plain; version=0.0.4; charset=utf-8")
    assert openmetrics.text == f"{text}# EOF\n"
    assert openmetrics.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert (head.content, head.headers["content-length"]) == (b"", str(len(text)))
    assert (wrong.status_code, missing.status_code) == (405, 404)
    assert missing.headers["content-type"] == "application/problem+json"
    assert scraped.headers["x-content-type-options"] == "nosniff"


async def test_metrics_that_fail_are_a_problem() -> None:
    async with asked(operations_app(Health(lambda: HealthState()), unread)) as client:
        response = await client.get("/metrics")
    assert (response.status_code, response.json()["title"]) == (500, "Internal Server Error")


async def test_the_operations_port_has_a_lifespan() -> None:
    sent: list[str] = []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(events)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    app = operations_app(Health(lambda: HealthState()), unread)
    await app({"type": "lifespan"}, receive, send)
    await app({"type": "websocket"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_service_adds_checks_of_its_own(serve: Any) -> None:
    service = Service("tested")

    @service.check("stock", critical=True)
    async def stock() -> list[Reading]:
        return [Reading("stock:soldOut", "pass", 3, "products")]

    @service.check("shop")
    async def shop() -> list[Reading]:
        raise OSError("shut")

    async with serve(FastAPI(), service) as running:
        assert (await running.client.get("/health")).json() == {"status": "warn"}
    checks = service.spec.checks
    async with asked(operations_app(Health(lambda: HealthState(), checks), unread)) as client:
        found = (await client.get("/health")).json()["checks"]
    assert (found["stock:soldOut"][0]["observedValue"], found["shop"][0]["output"]) == (3, "OSError: shut")


async def test_the_operations_port_tells_of_groups_and_the_main_port_of_none(serve: Any) -> None:
    service = Service("tested")

    @service.check("bank", critical=True, groups=["checkout"])
    async def bank() -> list[Reading]:
        raise OSError("shut")

    @service.check("stock", groups=("checkout", "front"))
    async def stock() -> list[Reading]:
        return [Reading("stock:soldOut", "pass", 3, "products")]

    async with serve(FastAPI(), service) as running:
        assert (await running.client.get("/health/front")).status_code == 404
    async with asked(operations_app(Health(lambda: HealthState(), service.spec.checks), unread)) as client:
        found = {name: await client.get(f"/health/{name}") for name in ("checkout", "front", "stock", "back", "")}
        wrong = await client.post("/health/front")
    assert {name: answer.status_code for name, answer in found.items()} == {
        "checkout": 503,
        "front": 200,
        "stock": 200,
        "back": 404,
        "": 404,
    }
    assert set(found["checkout"].json()["checks"]) == {"bank", "stock:soldOut"}
    assert set(found["front"].json()["checks"]) == {"stock:soldOut"}
    assert found["back"].json()["detail"] == "No check is in a group 'back'; there are bank, checkout, front, stock."
    assert wrong.status_code == 405


async def test_liveness_fails_on_both_ports_while_the_loop_lags(serve: Any) -> None:
    lagging = LoopLag(window=seconds(10))
    for moment in range(20):
        lagging.note(moment, moment + 2.0)
    health = Health(lambda: HealthState(), lag=lagging, clock=lambda: 22.0)
    async with serve(FastAPI()) as running:
        running.stack.health = health
        assert (await running.client.get("/livez")).status_code == 503
        assert (await running.client.get("/readyz")).status_code == 200
    async with asked(operations_app(health, unread)) as client:
        assert (await client.get("/livez")).json() == {"status": "fail"}


async def test_checks_are_looked_at_from_the_startup_to_the_shutdown_of_the_operations_port() -> None:
    looks: list[int] = []
    looked, ended = asyncio.Event(), asyncio.Event()

    async def look() -> list[Reading]:
        looks.append(1)
        looked.set()
        return []

    async def receive() -> dict[str, Any]:
        if not looked.is_set():
            await looked.wait()
            return {"type": "lifespan.startup"}
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            ended.set()

    before = asyncio.all_tasks()
    async with asyncio.timeout(60):
        await operations_app(Health(lambda: HealthState(), [Check("x", look)]), unread)(
            {"type": "lifespan"}, receive, send
        )
    assert ended.is_set()
    assert len(looks) == 1
    assert asyncio.all_tasks() == before


def test_a_check_cannot_take_the_name_of_one_that_is_there_anyway() -> None:
    with pytest.raises(DeclarationError, match="check 'queues' comes with every service"):
        Service("tested").check("queues")


async def test_a_service_can_show_its_own_health(serve: Any) -> None:
    service = Service("tested")

    @service.check("stock")
    async def stock() -> list[Reading]:
        return [Reading("stock:soldOut", "warn", 30, "products")]

    with pytest.raises(NotRunning, match="the health report"):
        await service.health()
    async with serve(FastAPI(), service) as running:
        service.installed_app = running.stack
        report = await service.health()
    assert (report["status"], report["checks"]["stock:soldOut"][0]["observedValue"]) == ("warn", 30)
