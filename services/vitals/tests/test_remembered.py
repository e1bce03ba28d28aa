"""What is remembered of people: the same as without, never to whom it is not, gone with the next refresh."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from people import add_trainer, add_user, confide, key_of, observe

from roadworthy import Service, testing
from roadworthy.runtime.settings import Settings
from vitals import remembered
from vitals.app import app
from vitals.reading import access, latest, metrics
from vitals.reading.access import reading_as
from vitals.service import database, latest_metrics, service


@dataclass(frozen=True)
class Scene:
    """Two users of one weight each, and a trainer of the second."""

    client: httpx.AsyncClient
    users: dict[str, int]
    keys: dict[str, str]

    async def weights(self, who: str, user: str) -> Any:
        """The weights that somebody gets to see of a user, or the status of the refusal."""
        headers = {"authorization": f"Bearer {self.keys[who]}"}
        answers = [
            await self.client.get(f"/api/v1/users/{self.users[user]}/{path}", headers=headers)
            for path in ("metrics/latest", "quality")
        ]
        assert answers[0].status_code == answers[1].status_code
        if answers[0].status_code != 200:
            return answers[0].status_code
        found = [each["value"] for each in answers[0].json()["metrics"]]
        assert answers[1].json()["metrics"] == len(found)
        return found


@pytest.fixture
async def scene(running: Service) -> AsyncIterator[Scene]:
    users = {name: await add_user(name) for name in ("ada", "bob")}
    await add_trainer("tim", users["bob"])
    await observe(users["ada"], "weight", "withings", 70)
    await observe(users["bob"], "weight", "withings", 90)
    await confide(users["ada"], "weight", "withings", 85)
    await latest.refresh(database, force=True)
    keys = {name: await key_of("user", name) for name in users} | {"tim": await key_of("trainer", "tim")}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://vitals.test") as client:
        yield Scene(client, users, keys)


async def test_what_is_remembered_is_what_its_user_reads_without_it(scene: Scene) -> None:
    for name, user in scene.users.items():
        async with reading_as(database, scene.keys[name]) as connection:
            rows = await metrics.latest(connection, user)
        for _ in range(2):
            assert [dict(row) for row in rows] == [asdict(each) for each in await remembered.latest_of(user)]
    assert latest_metrics.statistics().loaded == 2


async def test_one_reading_serves_until_the_next_refresh(scene: Scene, running: Service) -> None:
    for _ in range(3):
        assert await scene.weights("ada", "ada") == [70]
    assert latest_metrics.statistics().loaded == 1
    counted = {"cache": "latest_metrics", "tier": "memory", "outcome": "hit"}
    assert testing.metric(running, "cache_lookups_total", **counted) == 5
    await observe(scene.users["ada"], "weight", "withings", 71)
    assert await scene.weights("ada", "ada") == [70]
    await latest.refresh(database, force=True)
    assert await scene.weights("ada", "ada") == [71]


async def test_nobody_reads_what_others_had_remembered(scene: Scene) -> None:
    allowed = {("ada", "ada"): [70], ("bob", "bob"): [90], ("tim", "bob"): [90]}
    draw = random.Random(4)
    asked = [(who, user) for who in scene.keys for user in scene.users]
    for _ in range(30):
        who, user = draw.choice(asked)
        assert await scene.weights(who, user) == allowed.get((who, user), 404), (who, user)
        if draw.random() < 0.2:
            await remembered.forget()


async def test_a_right_that_ends_ends_at_once(scene: Scene) -> None:
    for who, user in (("ada", "ada"), ("bob", "bob"), ("tim", "bob")):
        assert isinstance(await scene.weights(who, user), list)
    await database.execute("DELETE FROM trainer_clients")
    assert await scene.weights("tim", "bob") == 404
    assert await access.revoke(database, scene.keys["ada"])
    assert await scene.weights("ada", "ada") == 401
    await database.execute("UPDATE public.api_keys SET expires_at = now() WHERE user_id = $1", scene.users["bob"])
    assert await scene.weights("bob", "bob") == 401
    assert latest_metrics.statistics().loaded == 2


async def test_who_may_see_nothing_leaves_nothing_behind(scene: Scene) -> None:
    assert await scene.weights("bob", "ada") == 404
    assert latest_metrics.statistics().entries == 0
    assert await scene.weights("ada", "ada") == [70]


async def test_a_user_of_whom_nothing_is_known_is_one_all_the_same(scene: Scene) -> None:
    scene.users["eve"] = await add_user("eve")
    scene.keys["eve"] = await key_of("user", "eve")
    assert await scene.weights("eve", "eve") == []
    await observe(scene.users["eve"], "weight", "manual", 60)
    await latest.refresh(database, force=True)
    assert await scene.weights("eve", "eve") == [60]


async def test_the_rule_in_front_is_that_of_row_level_security(scene: Scene) -> None:
    unknown = f"{access.PREFIX}nobody"
    for key in (*scene.keys.values(), unknown):
        for user in (*scene.users.values(), 987654):
            async with reading_as(database, key) as connection:
                visible = await metrics.person(connection, user) is not None
            assert await access.may_see(database, key, user) is visible
    assert await database.fetchval("SELECT current_setting('vitals.key_digest', true)") in (None, "")


async def test_what_the_operator_sees_follows_the_refresh(scene: Scene) -> None:
    assert (await remembered.quality()).distribution["excellent"] == 1
    assert [each.user_id for each in await remembered.low_quality()] == [scene.users["bob"]]
    await confide(scene.users["bob"], "weight", "withings", 90)
    await latest.refresh(database, force=True)
    assert (await remembered.quality()).distribution["excellent"] == 2
    assert await remembered.low_quality() == []


async def test_health_tells_the_share_of_hits(scene: Scene) -> None:
    for _ in range(2):
        await scene.weights("ada", "ada")
    (reading,) = (await service.health())["checks"]["latest_metrics:hitRatio"]
    assert reading["observedValue"] == 0.75


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:1/0"])
async def test_it_answers_whether_its_store_is_there_or_not(url: str | None) -> None:
    async with testing.database(service) as dsn:
        environment = {"DATABASE_URL": dsn} | ({} if url is None else {"REDIS_URL": url})
        async with service.running(Settings.load(environment)):
            user = await add_user("ada")
            for weight in (70.0, 71.0):
                await observe(user, "weight", "withings", weight)
                await latest.refresh(database, force=True)
                for _ in range(2):
                    assert [each.value for each in await remembered.latest_of(user)] == [weight]
            counted = latest_metrics.statistics()
            assert (counted.loaded, counted.hits) == (2, 2)


REFRESH = """
import asyncio
from vitals.reading import latest
from vitals.service import database, service

async def main():
    async with service.running():
        await latest.refresh(database, force=True)

asyncio.run(main())
"""


async def test_a_refresh_in_a_worker_shows_in_the_web_process() -> None:
    async with testing.database(service) as dsn:
        environment = {"DATABASE_URL": dsn}
        async with service.running(Settings.load(environment)):
            user = await add_user("ada")
            await observe(user, "weight", "withings", 70)
            await latest.refresh(database, force=True)
            assert [each.value for each in await remembered.latest_of(user)] == [70]
            await observe(user, "weight", "withings", 71)
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", REFRESH), env={**os.environ, **environment}, cwd=Path(__file__).parent
            )
            async with asyncio.timeout(60):
                assert await worker.wait() == 0
                while [each.value for each in await remembered.latest_of(user)] != [71]:
                    await asyncio.sleep(0.02)
            assert latest_metrics.statistics().loaded == 2


@pytest.mark.parametrize(
    "path", ["/api/v1/me", "/api/v1/users/1/metrics/latest", "/api/v1/openapi.json", "/operator", "/nope"]
)
async def test_nobody_keeps_what_people_or_the_operator_see(scene: Scene, path: str) -> None:
    for headers in ({}, {"authorization": f"Bearer {scene.keys['ada']}"}):
        answer = await scene.client.get(path, headers=headers)
        assert answer.headers["cache-control"] == "no-store"
        assert "cdn-cache-control" not in answer.headers
    assert (await scene.client.post("/webhooks/aggregator")).headers["cache-control"] == "no-store"


async def test_files_are_kept_for_good_only_under_the_address_of_their_version(scene: Scene) -> None:
    address = (await scene.client.get("/operator")).text.partition('stylesheet" href="')[2].partition('"')[0]
    assert address.startswith("/operator/static/style.css?v=")
    assert (await scene.client.get(address)).headers["cache-control"] == "public, max-age=31536000, immutable"
    for other in (address.partition("?")[0], f"{address}0"):
        assert (await scene.client.get(other)).headers["cache-control"] == "public, max-age=60"
