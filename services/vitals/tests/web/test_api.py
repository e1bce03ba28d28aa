"""The API: who is answered, what with, and that nobody's rows can be had with another's key by any of its paths."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from people import NOW, add_trainer, add_user, confide, key_of, observe

from roadworthy import Service
from vitals.app import app, site
from vitals.reading import access, latest
from vitals.service import database


@dataclass(frozen=True)
class Scene:
    """Two users, a trainer of the second, and a client without a key of its own."""

    client: httpx.AsyncClient
    ada: int
    bob: int
    keys: dict[str, str]

    async def get(self, who: str, path: str, **parameters: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.keys[who]}"}
        return await self.client.get(f"/api/v1{path}", params=parameters or None, headers=headers)


@pytest.fixture
async def scene(running: Service) -> AsyncIterator[Scene]:
    ada, bob = await add_user("ada"), await add_user("bob")
    await add_trainer("tim", bob)
    for day in range(5):
        await observe(ada, "weight", "withings", 70 + day, NOW - timedelta(days=day))
        await observe(ada, "weight", "manual", 80 + day, NOW - timedelta(days=day))
    await observe(ada, "steps", "garmin", 9000)
    await observe(bob, "weight", "withings", 4242)
    await confide(ada, "weight", "withings", 85)
    await confide(ada, "weight", "manual", 30)
    await latest.refresh(database, force=True)
    keys = {name: await key_of("user", name) for name in ("ada", "bob")} | {"tim": await key_of("trainer", "tim")}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://vitals.test") as client:
        yield Scene(client, ada, bob, keys)


async def test_latest_metrics(scene: Scene) -> None:
    answer = await scene.get("ada", f"/users/{scene.ada}/metrics/latest")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    steps, weight = answer.json()["metrics"]
    assert weight == {
        "metric": "weight", "value": 70, "unit": "kg", "source": "withings", "device": None, "confidence": 85,
        "badge": "excellent", "sources": 2, "started_at": "2026-03-01T08:00:00Z", "measured_at": "2026-03-01T08:00:00Z",
    }  # fmt: skip
    assert (steps["value"], steps["badge"]) == (9000, "poor")


async def test_history_comes_in_pages_without_gap_or_repetition(scene: Scene) -> None:
    path = f"/users/{scene.ada}/metrics/weight/history"
    seen: list[tuple[str, str]] = []
    cursor: str | None = None
    for _ in range(10):
        page = (await scene.get("ada", path, limit=3, **({"cursor": cursor} if cursor else {}))).json()
        seen += [(value["started_at"], value["source"]) for value in page["values"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 10
    assert seen == sorted(seen, key=lambda each: (each[0], -ord(each[1][0])), reverse=True)
    whole = (await scene.get("ada", path)).json()
    assert [(value["started_at"], value["source"]) for value in whole["values"]] == seen
    assert whole["unit"] == "kg"


async def test_history_of_a_range_and_a_source(scene: Scene) -> None:
    path = f"/users/{scene.ada}/metrics/weight/history"
    since = (NOW - timedelta(days=3)).isoformat()
    found = (await scene.get("ada", path, since=since, until=NOW.isoformat(), source="manual")).json()["values"]
    assert [value["value"] for value in found] == [81, 82, 83]


async def test_sources_say_why_one_of_them_counts(scene: Scene) -> None:
    found = (await scene.get("ada", f"/users/{scene.ada}/metrics/weight/sources")).json()["sources"]
    assert [(each["source"], each["confidence"], each["value"]) for each in found] == [
        ("withings", 85, 70),
        ("manual", 30, 80),
    ]
    parts = ("reliability", "freshness", "frequency", "agreement")
    assert all(sum(each[part] for part in parts) == each["confidence"] for each in found)


async def test_quality_and_clients(scene: Scene) -> None:
    quality = (await scene.get("ada", f"/users/{scene.ada}/quality")).json()
    assert quality["distribution"] == {"excellent": 1, "good": 0, "fair": 0, "poor": 1}
    clients = (await scene.get("tim", "/clients")).json()
    assert [(each["id"], each["metrics"], each["confidence"]) for each in clients["clients"]] == [(scene.bob, 1, 0)]
    assert clients["next"] is None
    assert (await scene.get("ada", "/clients")).json()["clients"] == []
    assert (await scene.get("tim", "/me")).json() == {"kind": "trainer", "id": 1, "name": "Tim"}


async def test_clients_come_in_pages(scene: Scene) -> None:
    for number in range(5):
        user = await add_user(f"client-{number}")
        await database.execute("INSERT INTO trainer_clients (trainer_id, user_id) VALUES (1, $1)", user)
    first = (await scene.get("tim", "/clients", limit=4)).json()
    rest = (await scene.get("tim", "/clients", limit=4, after=first["next"])).json()
    assert len({each["id"] for each in first["clients"] + rest["clients"]}) == 6
    assert rest["next"] is None


def paths(user: int) -> list[str]:
    """Every path of the API that names a user, for that user, from the application's own routes."""
    found = [path for path in site.openapi()["paths"] if "{user}" in path]
    assert len(found) >= 4
    others = [path for path in site.openapi()["paths"] if "{" in path.replace("{user}", "").replace("{metric}", "")]
    assert others == [], "what another id names has to be probed as well"
    assert {method for path in found for method in site.openapi()["paths"][path]} == {"get"}, "and so has a write"
    return [path.removeprefix("/api/v1").replace("{user}", str(user)).replace("{metric}", "weight") for path in found]


async def test_another_user_is_not_found_by_any_path_whether_there_is_one_or_not(scene: Scene) -> None:
    for who, stranger in (("ada", scene.bob), ("bob", scene.ada), ("tim", scene.ada)):
        for path, missing in zip(paths(stranger), paths(987654), strict=True):
            answer, none = await scene.get(who, path), await scene.get(who, missing)
            assert (answer.status_code, none.status_code) == (404, 404), path
            without_id = [{**each.json(), "request_id": None} for each in (answer, none)]
            assert without_id[0] == without_id[1]
            assert "4242" not in answer.text
    for path in paths(scene.bob):
        assert (await scene.get("tim", path)).status_code == 200


def test_the_description_says_how_to_prove_who_one_is() -> None:
    described = site.openapi()
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert all(path["get"]["security"] for name, path in described["paths"].items() if name.startswith("/api/"))
    assert not [name for name in described["paths"] if not name.startswith("/api/")]


async def test_no_key_a_wrong_key_and_a_revoked_key_are_refused_everywhere(scene: Scene) -> None:
    await access.revoke(database, scene.keys["bob"])
    for path in [*paths(scene.bob), "/me", "/clients"]:
        for header in (
            None,
            "",
            "Basic dXNlcjpwYXNz",
            "Bearer",
            "Bearer nonsense",
            "Bearer vitals_" + "x" * 43,
            "Bearer vitals_" + "x" * 5000,
            f"Bearer {scene.keys['bob']}",
        ):
            headers = {} if header is None else {"authorization": header}
            answer = await scene.client.get(f"/api/v1{path}", headers=headers)
            assert answer.status_code == 401, (path, header)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_range_may_be_longer_than_anything_was_measured(scene: Scene) -> None:
    path = f"/users/{scene.ada}/metrics/weight/history"
    whole = (await scene.get("ada", path)).json()
    assert (
        await scene.get("ada", f"{path}?since=0001-01-01T00:00%2B14:00&until=9999-12-31T23:59-14:00")
    ).json() == whole
    assert (await scene.get("ada", f"{path}?until=0001-01-01T00:00%2B14:00")).json()["values"] == []


INVALID = (
    ("/users/0/metrics/latest", 422),
    ("/users/99999999999999999999/metrics/latest", 422),
    ("/users/ada/metrics/latest", 422),
    ("/users/1/metrics/Weight'--/history", 422),
    ("/users/1/metrics/mood/history", 404),
    ("/users/1/metrics/weight/history?limit=0", 422),
    ("/users/1/metrics/weight/history?limit=1001", 422),
    ("/users/1/metrics/weight/history?since=2030-01-01T00:00", 422),
    ("/users/1/metrics/weight/history?cursor=nonsense", 422),
    ("/users/1/metrics/weight/history?cursor=MjAzMC0wMS0wMVQwMDowMCB4", 422),
    ("/users/1/metrics/weight/history?cursor=%C3%A9", 422),
    ("/users/1/metrics/weight/history?source=x%00y", 422),
    ("/clients?after=-1", 422),
    ("/nothing", 404),
)


async def test_what_is_not_valid_is_answered_with_problem_details(scene: Scene) -> None:
    for path, status in INVALID:
        answer = await scene.get("ada", path)
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
