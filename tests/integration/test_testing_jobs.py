"""The public helpers for jobs in tests: drained, inline, and looked at before they run."""

from __future__ import annotations

import asyncio
import unittest
from datetime import UTC, datetime, timedelta

import pytest

from roadworthy import Service, hours, seconds, testing

service = Service("post")
database = service.database()
mail = service.queue("mail", attempts=2)
ran: list[str] = []


@mail.job()
async def send(to: str, copies: int = 1, at: datetime | None = None) -> None:
    ran.append(to)
    if copies > 1:
        await send.enqueue(to=to, copies=copies - 1)


@mail.job()
def weigh(grams: int) -> None:
    ran.append(f"{grams} g")
    if grams < 0:
        raise ValueError("lighter than air")


@mail.job()
async def never(_n: int = 0) -> None:
    await never.with_options(delay=hours(1)).enqueue()


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


async def test_drain_returns_what_failed_and_runs_retries_only_when_told() -> None:
    async with testing.running(service):
        await weigh.enqueue(grams=-1)
        await send.with_options(delay=hours(5)).enqueue(to="later")
        (failure,) = await testing.drain(service)
        assert (failure.job, failure.attempt, failure.error_class, failure.dead) == ("weigh", 1, "ValueError", False)
        assert "lighter than air" in failure.traceback
        assert ran == ["-1 g"]
        (failure,) = await testing.drain(service, with_scheduled=True)
        assert (failure.attempt, failure.dead) == (2, True)
        assert sorted(ran) == ["-1 g", "-1 g", "later"]


async def test_a_job_that_always_schedules_another_ends_in_time_out() -> None:
    async with testing.running(service):
        await never.enqueue()
        with pytest.raises(TimeoutError):
            await testing.drain(service, with_scheduled=True, timeout=seconds(0.5))


async def test_time_can_be_let_pass() -> None:
    async with testing.running(service):
        for delay in (1, 3):
            await send.with_options(delay=hours(delay)).enqueue(to=f"in {delay} h")
        await testing.advance(service, hours(2))
        await testing.drain(service)
        assert ran == ["in 1 h"]
        (left,) = await testing.enqueued(service, send)
        assert left.state == "scheduled"
        assert timedelta(minutes=50) < left.run_at - datetime.now(UTC) < timedelta(minutes=61)


async def test_inline_a_job_runs_where_it_is_enqueued_with_those_that_it_enqueues() -> None:
    async with testing.running(service, jobs="inline"):
        await send.enqueue(to="ada", copies=3)
        assert ran == ["ada", "ada", "ada"]
        await asyncio.to_thread(lambda: None)
        await weigh.enqueue(grams=5)
        assert ran[3:] == ["5 g"]


async def test_inline_a_job_waits_for_the_outermost_commit_and_is_forgotten_with_a_rollback() -> None:
    async with testing.running(service, jobs="inline"):
        async with database.transaction():
            async with database.transaction():
                await send.enqueue(to="inner")
            await send.enqueue(to="outer")
            assert ran == []
        assert ran == ["inner", "outer"]
        with pytest.raises(ArithmeticError):
            async with database.transaction():
                await send.enqueue(to="nobody")
                raise ArithmeticError
        async with database.transaction():
            with pytest.raises(ArithmeticError):
                async with database.transaction():
                    await send.enqueue(to="nobody")
                    raise ArithmeticError
        assert ran == ["inner", "outer"]


async def test_inline_a_workflow_runs_in_its_order() -> None:
    async with testing.running(service, jobs="inline"):
        async with service.workflow("parcel") as parcel:
            weighed = parcel.add(weigh, grams=7)
            parcel.after(weighed).add(send, to="ada")
        assert ran == ["7 g", "ada"]


async def test_inline_a_failure_is_raised_where_it_was_enqueued() -> None:
    async with testing.running(service, jobs="inline"):
        with pytest.raises(testing.JobFailed, match="lighter than air") as raised:
            await weigh.enqueue(grams=-1)
        assert raised.value.failure.job == "weigh"
        (left,) = await testing.enqueued(service, weigh)
        assert left.state == "scheduled", "its retry"
        await send.with_options(delay=hours(1)).enqueue(to="later")
        assert await testing.drain(service, with_scheduled=True)


async def test_what_was_enqueued_is_found_by_some_of_its_arguments() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    async with testing.running(service):
        await send.enqueue(to="ada", copies=2, at=moment)
        await send.with_options(priority=-5).enqueue(to="bob")
        found = await testing.assert_enqueued(service, send, to="ada", at=moment)
        assert found.arguments == {"to": "ada", "copies": 2, "at": moment}
        assert (await testing.assert_enqueued(service, "send")).priority == -5
        assert [one.arguments["to"] for one in await testing.enqueued(service, send)] == ["ada", "bob"]
        assert await testing.enqueued(service, send, to="eve") == []
        assert await testing.enqueued(service, weigh) == []


async def test_what_is_missing_is_told_with_what_there_is() -> None:
    async with testing.running(service):
        await send.enqueue(to="ada")
        with pytest.raises(AssertionError) as raised:
            await testing.assert_enqueued(service, send, to="bob", copies=1, colour="red")
        told = str(raised.value)
        assert told.startswith("no job send(to='bob', copies=1, colour='red') waits or runs")
        assert "to is 'ada', not 'bob'" in told
        assert "copies" not in told.partition("\n")[2].partition("colour")[0]
        assert "colour is none of its arguments: to, copies, at" in told
        with pytest.raises(AssertionError, match="none of its kind does"):
            await testing.assert_enqueued(service, weigh)
        with pytest.raises(LookupError, match="declares no job 'gone'"):
            await testing.enqueued(service, "gone")


class InUnittest(unittest.IsolatedAsyncioTestCase):
    """The same with the standard library's own framework."""

    async def asyncSetUp(self) -> None:
        await self.enterAsyncContext(testing.running(service, jobs="inline"))

    async def test_a_job_runs(self) -> None:
        await send.enqueue(to="ada")
        self.assertEqual(ran, ["ada"])  # noqa: PT009
