"""Who is active, counted by several processes in PostgreSQL, against a model that remembers everything."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, timedelta

import pytest

from roadworthy import Service, days
from roadworthy.activity import postgres
from roadworthy.activity.figures import monday, share
from roadworthy.activity.keeper import Keeper
from roadworthy.activity.metrics import CATALOGUE
from roadworthy.activity.postgres import PACKAGE
from roadworthy.activity.spec import ActivitySpec
from roadworthy.database import migration
from roadworthy.database.queries import load_queries
from roadworthy.database.session import Session
from roadworthy.outage import StoreDown
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.testing import metric, running

FIRST = date(2026, 1, 7)
USERS = ActivitySpec("users")


@dataclass
class Calendar:
    """The day that all processes are told."""

    today: date = FIRST

    def __call__(self) -> date:
        return self.today


@dataclass
class Model:
    """Remembers who was seen on which day."""

    seen: dict[date, set[str]] = field(default_factory=lambda: defaultdict(set))

    def active(self, first: date, last: date) -> set[str]:
        return set().union(*(who for day, who in self.seen.items() if first <= day <= last))

    def first(self, who: str) -> date:
        return min(day for day, those in self.seen.items() if who in those)

    def back(self, today: date, weeks: int) -> float:
        last = monday(today) - timedelta(days=7)
        week = last - timedelta(days=7 * weeks)
        cohort = {who for who in self.active(FIRST, today) if monday(self.first(who)) == week}
        return share(len(cohort & self.active(last, last + timedelta(days=6))), len(cohort))

    def churn(self, today: date) -> float:
        before = self.active(today - timedelta(days=59), today - timedelta(days=30))
        return share(len(before - self.active(today - timedelta(days=29), today)), len(before))


async def _begin(_: object) -> None: ...


@pytest.fixture
async def session(dsn: str) -> AsyncIterator[Session]:
    await migration.apply(dsn, (migration.load(PACKAGE, PACKAGE),))
    session = Session(dsn, load_queries(PACKAGE), name="test", seconds=60, begin=_begin)
    yield session
    await session.close()


def keeper(session: Session, today: Calendar, spec: ActivitySpec = USERS) -> Keeper:
    return Keeper([spec], session.fetch, MetricRegistry(CATALOGUE), today=today)


def same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


async def test_days_weeks_cohorts_and_churn_are_those_of_the_model(session: Session) -> None:
    calendar, model, draw = Calendar(), Model(), random.Random(7)
    processes = [keeper(session, calendar) for _ in range(3)]
    people = [f"person {number}" for number in range(60)]
    for number in range(75):
        calendar.today = FIRST + timedelta(days=number)
        # Somebody comes first in each week, and some go for good.
        known = people[number // 4 : 6 + number]
        for who in draw.sample(known, k=len(known) // 3):
            model.seen[calendar.today].add(who)
            for _ in range(draw.randint(1, 3)):
                draw.choice(processes).sightings["users"].seen(who)
        # One of them writes what it saw before midnight after it.
        for process in processes[: 3 if number % 2 else 2]:
            await process.write()
        if number % 2 and number > 60:
            today = calendar.today
            found = await postgres.figures(session.fetch, "users", today)
            assert (found.day, found.week, found.month) == tuple(
                len(model.active(today - timedelta(days=window - 1), today)) for window in (1, 7, 30)
            )
            assert all(same(found.retention[weeks - 1], model.back(today, weeks)) for weeks in range(1, 5))
            assert same(found.churn, model.churn(today))
    for process in processes:
        await process.write()
    counted = await postgres.days(session.fetch, "users", FIRST, calendar.today)
    assert {one.day: one.active for one in counted} == {one.day: len(model.seen[one.day]) for one in counted}
    assert sum(one.new for one in counted) == len(model.active(FIRST, calendar.today))


async def test_persons_are_kept_as_hashes_under_a_key_that_all_processes_share(session: Session) -> None:
    calendar = Calendar()
    one, two = keeper(session, calendar), keeper(session, calendar)
    one.sightings["users"].seen("ada@example.org")
    two.sightings["users"].seen("ada@example.org")
    await one.write()
    await two.write()
    assert (await postgres.figures(session.fetch, "users", FIRST)).day == 1
    rows = await session.fetch("read_key")
    assert len(rows) == 1
    (kept,) = one.sightings["users"].batch(1) or [(b"", FIRST)]
    assert kept[0] == b""


async def test_what_was_kept_for_long_enough_is_forgotten(session: Session) -> None:
    calendar = Calendar()
    one = keeper(session, calendar, ActivitySpec("users", keep=days(90)))
    one.sightings["users"].seen("ada")
    await one.write()
    calendar.today += timedelta(days=90)
    one.sightings["users"].seen("grace")
    await one.write()
    await one.count()
    assert sum(day.active for day in await postgres.days(session.fetch, "users", FIRST, calendar.today)) == 2
    calendar.today += timedelta(days=1)
    await one.count()
    kept = await postgres.days(session.fetch, "users", FIRST, calendar.today)
    assert [day.active for day in kept if day.active] == [1]
    assert sum(day.new for day in kept) == 1


async def test_while_the_database_is_away_sightings_wait_and_too_many_are_counted() -> None:
    away = True
    written: list[object] = []

    async def fetch(statement: str, *arguments: object) -> list[dict[str, bytes]]:
        if away:
            raise StoreDown("away")
        if statement == "note":
            written.extend(arguments[1])  # type: ignore[arg-type]
        return [{"key": bytes(32)}]

    registry = MetricRegistry(CATALOGUE)
    calendar = Calendar()
    one = Keeper([ActivitySpec("users", most=5)], fetch, registry, today=calendar)  # type: ignore[arg-type]
    for number in range(8):
        one.sightings["users"].seen(f"person {number}")
        one.sightings["users"].seen("person 1")
    with pytest.raises(StoreDown):
        await one.write()
    assert one.sightings["users"].waiting == 5
    assert registry.value("activity_dropped_total", {"activity": "users"}) == 3
    away = False
    await one.write()
    assert len(written) == len(set(map(bytes, written))) == 5  # type: ignore[arg-type]
    # Who was dropped is noted when they are seen again.
    one.sightings["users"].seen("person 1")
    one.sightings["users"].seen("person 7")
    await one.write()
    assert len(written) == 6
    assert one.sightings["users"].waiting == 0


async def test_a_service_notes_who_is_seen_and_writes_it_at_its_end() -> None:
    service = Service("shop")
    service.database()
    shoppers = service.activity("shoppers")
    async with running(service):
        await shoppers.seen("ada")
        await shoppers.seen(7)
        activities = service.binding("test").activities
        assert activities is not None
        await activities.write()
        await activities.count()
        assert metric(service, "active_users", activity="shoppers", window="day") == 2
        assert math.isnan(metric(service, "churn_ratio", activity="shoppers"))
