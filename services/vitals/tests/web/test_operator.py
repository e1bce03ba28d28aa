"""The operator's page and its JSON: who gets in, what is shown, what can be done, and by whom it cannot."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from people import NOW, add_user, confide, key_of, observe

from roadworthy import Service, testing
from vitals.app import app
from vitals.ingestion.jobs import normalise_event
from vitals.reading import latest
from vitals.runs import runs
from vitals.service import database

KEY = "f3a9c07d5be1428896d1e0a7c4b2356f"


@pytest.fixture
def operator_key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VITALS_OPERATOR_KEY", KEY)
    return KEY


@pytest.fixture
async def browser(operator_key: str, running: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A browser on the site, as little as there is of it."""
    transport = httpx.ASGITransport(app)
    headers = {"sec-fetch-site": "same-origin"}
    async with httpx.AsyncClient(transport=transport, base_url="http://vitals.test", headers=headers) as client:
        yield client


@pytest.fixture
async def signed_in(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    answer = await browser.post("/operator/sign-in", data={"key": KEY})
    assert answer.headers["location"] == "/operator"
    return browser


@pytest.fixture
async def program(operator_key: str, running: Service) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://vitals.test", headers=headers) as client:
        yield client


async def token_of(client: httpx.AsyncClient) -> str:
    found = re.search(r'name="token" value="(\w+)"', (await client.get("/operator")).text)
    assert found
    return found[1]


async def bury(count: int = 1) -> None:
    """Have jobs die, as an event that cannot be read makes them."""
    for number in range(count):
        event = await database.fetchval(
            "INSERT INTO webhook_events (provider, event_id, kind, reference, event_at, body) "
            "VALUES ('aggregator', $1, 'body', 'ada', now(), '{}') RETURNING id",
            f"bad-{number}",
        )
        await normalise_event.enqueue(event=event)
    await database.execute("UPDATE roadworthy.jobs SET attempts = 1")


async def test_a_stranger_sees_nothing_and_does_nothing(browser: httpx.AsyncClient) -> None:
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70)
    await latest.refresh(database, force=True)
    page = await browser.get("/operator")
    assert "Operator’s key" in page.text
    assert "ada" not in page.text.lower().replace("data", "")
    for path in ("/operator/failed/retry", "/operator/runs", "/operator/runs/cancel", "/operator/sign-out"):
        answer = await browser.post(path, data={"kind": "recalculate", "id": "1", "job": "x"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/operator")
    assert (await browser.get("/operator", headers={"x-fragment": "overview"})).status_code == 401
    key = await key_of("user", "ada")
    for headers in ({}, {"authorization": f"Bearer {key}"}, {"authorization": "Bearer " + "x" * 32}):
        for method, path in (
            ("GET", "/operator/api/overview"),
            ("POST", "/operator/api/runs"),
            ("POST", "/operator/api/failed/retry"),
            ("DELETE", "/operator/api/runs/1"),
        ):
            answer = await browser.request(method, path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["content-type"] == "application/problem+json"
    assert await runs.latest(database) == []


async def test_signing_in_needs_the_key_from_this_very_site(browser: httpx.AsyncClient) -> None:
    wrong = await browser.post("/operator/sign-in", data={"key": "guess"})
    assert (wrong.status_code, "That is not the key" in wrong.text) == (403, True)
    foreign = await browser.post("/operator/sign-in", data={"key": KEY}, headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    assert not browser.cookies
    right = await browser.post("/operator/sign-in", data={"key": KEY})
    cookie = right.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/operator", "max-age=43200"))
    assert KEY not in cookie
    assert "How all goes" in (await browser.get("/operator")).text
    await browser.post("/operator/sign-out", data={"token": await token_of(browser)})
    assert "Operator’s key" in (await browser.get("/operator")).text


async def test_without_a_key_in_the_environment_nobody_gets_in(
    monkeypatch: pytest.MonkeyPatch, running: Service
) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vitals.test") as client:
        page = await client.get("/operator")
        assert "VITALS_OPERATOR_KEY" in page.text
        assert (await client.post("/operator/sign-in", data={"key": ""})).status_code == 403
        answer = await client.get("/operator/api/overview", headers={"authorization": "Bearer "})
        assert answer.status_code == 401


async def test_the_page_shows_health_quality_alerts_failures_and_runs(
    signed_in: httpx.AsyncClient, running: Service
) -> None:
    ada, eve = await add_user("ada"), await add_user("eve", "<b>Eve</b>")
    await observe(ada, "weight", "withings", 4242.5)
    await confide(ada, "weight", "withings", 90)
    await observe(eve, "steps", "google", 9000, NOW - timedelta(days=90))
    await latest.refresh(database, force=True)
    await bury()
    await testing.drain(running)
    page = (await signed_in.get("/operator")).text
    assert "Low quality" in page
    assert "&lt;b&gt;Eve&lt;/b&gt;" in page
    assert "4242" not in page
    assert "excellent 50 %, good 0 %, fair 0 %, poor 50 %" in page
    assert "type is missing" in page
    assert "Recalculate all" in page
    assert "Database answers in" in page
    fragment = (await signed_in.get("/operator", headers={"x-fragment": "overview"})).text
    assert fragment.startswith("<section")
    csp = (await signed_in.get("/operator")).headers["content-security-policy"]
    assert "unsafe" not in csp
    assert "style=" not in page


async def test_failed_jobs_are_tried_again_one_by_one_and_by_kind(
    signed_in: httpx.AsyncClient, running: Service
) -> None:
    await bury(3)
    await testing.drain(running)
    page = (await signed_in.get("/operator")).text
    found = re.search(r'name="id" value="(\d+)"', page)
    assert found
    token = await token_of(signed_in)
    one = await signed_in.post("/operator/failed/retry", data={"token": token, "id": found[1]})
    assert one.headers["location"] == "/operator?said=retried&count=1"
    assert "1 job tried again." in (await signed_in.get(one.headers["location"])).text
    rest = await signed_in.post("/operator/failed/retry", data={"token": token, "job": "normalise_event"})
    assert rest.headers["location"] == "/operator?said=retried&count=2"
    again = await signed_in.post("/operator/failed/retry", data={"token": token, "id": found[1]})
    assert again.headers["location"] == "/operator?said=retried&count=0"
    assert "No job has failed for good." in (await signed_in.get("/operator")).text


async def test_runs_are_begun_once_watched_and_cancelled(signed_in: httpx.AsyncClient, running: Service) -> None:
    for number in range(3):
        user = await add_user(f"user-{number}")
        await observe(user, "weight", "manual", 70)
    token = await token_of(signed_in)
    begun = await signed_in.post("/operator/runs", data={"token": token, "kind": "recalculate"})
    assert begun.headers["location"] == "/operator?said=begun"
    busy = await signed_in.post("/operator/runs", data={"token": token, "kind": "recalculate"})
    assert busy.headers["location"] == "/operator?said=busy"
    page = (await signed_in.get("/operator")).text
    assert "<progress" in page
    assert re.search(r'aria-describedby="recalculate-help" disabled', page)
    await testing.drain(running)
    assert "3 of 3" in (await signed_in.get("/operator")).text
    assert await database.fetchval("SELECT count(*) FROM confidences") == 3
    await signed_in.post("/operator/runs", data={"token": token, "kind": "backfill"})
    (run, _) = await runs.latest(database)
    cancelled = await signed_in.post("/operator/runs/cancel", data={"token": token, "id": run.id})
    assert cancelled.headers["location"] == "/operator?said=cancelled"
    over = await signed_in.post("/operator/runs/cancel", data={"token": token, "id": run.id})
    assert over.headers["location"] == "/operator?said=over"


async def test_other_sites_cannot_act_in_the_operators_name(signed_in: httpx.AsyncClient) -> None:
    token = await token_of(signed_in)
    forged = (
        ({"token": token}, {"sec-fetch-site": "cross-site"}),
        ({"token": token}, {"sec-fetch-site": "same-site"}),
        ({"token": ""}, {}),
        ({}, {}),
        ({"token": token[:-1]}, {}),
        ({"token": token}, {"sec-fetch-site": "", "origin": "https://evil.example"}),
    )
    for fields, headers in forged:
        for path in ("/operator/runs", "/operator/failed/retry", "/operator/runs/cancel", "/operator/sign-out"):
            answer = await signed_in.post(path, data={"kind": "recalculate", "id": "1", **fields}, headers=headers)
            assert answer.status_code == 403, (path, fields, headers)
        for path in ("/operator/api/runs", "/operator/api/failed/retry"):
            answer = await signed_in.post(
                path,
                json={"kind": "recalculate", "id": 1},
                headers={"x-csrf-token": fields.get("token", ""), **headers},
            )
            assert answer.status_code == 403, (path, fields, headers)
    assert await runs.latest(database) == []


async def test_programs_do_the_same_with_the_key(program: httpx.AsyncClient, running: Service) -> None:
    await bury(2)
    user = await add_user("ada")
    await observe(user, "weight", "manual", 70)
    await latest.refresh(database, force=True)
    await testing.drain(running)
    found = (await program.get("/operator/api/overview")).json()
    assert {"confidence:mean", "latest_metrics:lag", "database:responseTime"} <= set(found["health"]["checks"])
    assert found["quality"]["distribution"]["poor"] == 1
    assert [each["metric"] for each in found["low_quality"]] == ["weight"]
    assert [(each["job"], each["count"]) for each in found["failed"]["kinds"]] == [("normalise_event", 2)]
    assert found["latest_metrics"]["lag_seconds"] >= 0
    retried = await program.post("/operator/api/failed/retry", json={"job": "normalise_event"})
    assert retried.json() == {"retried": 2}
    begun = await program.post("/operator/api/runs", json={"kind": "backfill"})
    assert begun.status_code == 202
    assert (await program.post("/operator/api/runs", json={"kind": "backfill"})).status_code == 409
    assert (await program.delete(f"/operator/api/runs/{begun.json()['id']}")).status_code == 204
    assert (await program.delete(f"/operator/api/runs/{begun.json()['id']}")).status_code == 404
    for body in (b"[]", b"", b"{", b'{"kind": "other"}', b'{"kind": ["x"]}'):
        assert (await program.post("/operator/api/runs", content=body)).status_code == 422, body
    for body in ({}, {"id": True}, {"id": -1}, {"id": "x"}, {"job": 5}, {"job": "x", "error_class": 5}):
        assert (await program.post("/operator/api/failed/retry", json=body)).status_code == 422, body
    assert (await program.post("/operator/sign-in", content=b"x" * 20_000)).status_code == 413
