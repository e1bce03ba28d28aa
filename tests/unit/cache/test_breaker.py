"""The breaker: one time-out for all who wait, nothing for who comes after, and a way back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from roadworthy.cache.breaker import Breaker, Condition
from roadworthy.cache.store import Change, StoreDown, StoreRefused, Write


class Fickle:
    """A store whose every answer is what `behave` does."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.behave: Callable[[], Awaitable[Any]] = self._fine
        self.closed = False

    async def _fine(self) -> Any:
        return None

    async def _do(self, what: str, answer: Any) -> Any:
        self.asked.append(what)
        await self.behave()
        return answer

    async def get(self, name: str) -> bytes | None:
        found: bytes | None = await self._do("get", name.encode())
        return found

    async def get_many(self, names: Sequence[str]) -> list[bytes | None]:
        return list(await self._do("get_many", [None for _ in names]))

    async def write(self, writes: Sequence[Write]) -> list[bool]:
        return list(await self._do("write", [True for _ in writes]))

    async def tag_stamps(self, tags: Sequence[str]) -> list[int]:
        return list(await self._do("tag_stamps", [0 for _ in tags]))

    async def invalidate(self, tags: Sequence[str], *, lifetime: float, stamp: int | None = None) -> int:
        return int(await self._do("invalidate", stamp or 7))

    async def names(self, prefix: str, pattern: str) -> AsyncIterator[list[str]]:
        for batch in (["a"], ["b"]):
            yield list(await self._do("names", batch))

    async def acquire(self, name: str, token: str, lease: float) -> bool:
        return bool(await self._do("acquire", True))

    async def release(self, name: str, token: str) -> bool:
        return bool(await self._do("release", True))

    async def now(self) -> float:
        return float(await self._do("now", 5.0))

    @asynccontextmanager
    async def listening(
        self, changed: Callable[[Change], None], interrupted: Callable[[], None]
    ) -> AsyncIterator[None]:
        self.asked.append("listening")
        yield

    async def close(self) -> None:
        self.closed = True


class Stage:
    """A breaker whose waits pass when a test says so."""

    def __init__(self) -> None:
        self.store = Fickle()
        self.now = 100.0
        self.waits: list[float] = []
        self.told: list[Condition] = []
        self._go_on = asyncio.Event()
        self.breaker = Breaker(
            self.store, changed=self.told.append, clock=lambda: self.now, random=lambda: 0.0, sleep=self._sleep
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await self._go_on.wait()
        self._go_on.clear()
        self.now += seconds

    async def pass_time(self) -> None:
        """Let the wait for the next probe end, and the probe be made."""
        await _turns()
        self._go_on.set()
        await _turns()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    set_up = Stage()
    yield set_up
    await set_up.breaker.close()


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def _hang() -> Any:
    await asyncio.Event().wait()


async def _time_out() -> Any:
    raise StoreDown("no answer within 0.25 s")


async def _refuse() -> Any:
    raise StoreRefused("OOM")


async def _everything(breaker: Breaker) -> list[Callable[[], Awaitable[Any]]]:
    async def names() -> list[list[str]]:
        return [batch async for batch in breaker.names("", "*")]

    return [
        lambda: breaker.get("a"),
        lambda: breaker.get_many(["a", "b"]),
        lambda: breaker.write([Write("a", b"", 1, 1.0)]),
        lambda: breaker.tag_stamps(["t"]),
        lambda: breaker.invalidate(["t"], lifetime=1.0, stamp=9),
        names,
        lambda: breaker.acquire("a", "me", 1.0),
        lambda: breaker.release("a", "me"),
        lambda: breaker.now(),
    ]


async def test_closed_it_hands_everything_through(stage: Stage) -> None:
    answers = [await ask() for ask in await _everything(stage.breaker)]
    assert answers == [b"a", [None, None], [True], [0], 9, [["a"], ["b"]], True, True, 5.0]
    async with stage.breaker.listening(lambda change: None, lambda: None):
        assert stage.store.asked[-1] == "listening"
    assert stage.breaker.condition == Condition(False, 100.0)
    await stage.breaker.close()
    assert stage.store.closed


async def test_the_first_time_out_opens_it_for_everything(stage: Stage) -> None:
    stage.store.behave = _time_out
    with pytest.raises(StoreDown):
        await stage.breaker.get("a")
    stage.store.asked.clear()
    for ask in await _everything(stage.breaker):
        with pytest.raises(StoreDown, match=r"no answer within 0\.25 s"):
            await ask()
    assert stage.store.asked == []
    assert stage.breaker.condition == Condition(True, 100.0, "no answer within 0.25 s")
    assert stage.told == [stage.breaker.condition]


async def test_who_waits_already_fails_with_the_first(stage: Stage) -> None:
    stage.store.behave = _hang
    waiting = [asyncio.create_task(stage.breaker.get_many(["a"])) for _ in range(20)]
    await _turns()
    stage.store.behave = _time_out
    with pytest.raises(StoreDown):
        await stage.breaker.now()
    outcomes = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)
    assert all(type(outcome) is StoreDown for outcome in outcomes)
    assert all(task.cancelling() == 0 for task in waiting)


async def test_who_goes_on_after_failing_can_still_be_cancelled(stage: Stage) -> None:
    reached = asyncio.Event()

    async def go_on() -> None:
        with suppress(StoreDown):
            await stage.breaker.get_many(["a"])
        async with asyncio.timeout(60):
            reached.set()
            await asyncio.Event().wait()

    stage.store.behave = _hang
    task = asyncio.create_task(go_on())
    await _turns()
    stage.store.behave = _time_out
    with pytest.raises(StoreDown):
        await stage.breaker.now()
    await asyncio.wait_for(reached.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_was_cancelled_stays_cancelled(stage: Stage) -> None:
    stage.store.behave = _hang
    before, after = (asyncio.create_task(stage.breaker.get_many(["a"])) for _ in range(2))
    await _turns()
    stage.store.behave = _time_out
    before.cancel()
    with pytest.raises(StoreDown):
        await stage.breaker.now()
    after.cancel()
    outcomes = await asyncio.gather(before, after, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2


async def test_a_refusal_leaves_it_closed(stage: Stage) -> None:
    stage.store.behave = _refuse
    with pytest.raises(StoreRefused):
        await stage.breaker.write([Write("a", b"", 1, 1.0)])
    stage.store.behave = stage.store._fine
    assert await stage.breaker.get("a") == b"a"
    assert stage.told == []


async def test_one_probe_at_a_time_after_growing_waits_closes_it(stage: Stage) -> None:
    stage.store.behave = _time_out
    with pytest.raises(StoreDown):
        await stage.breaker.get("a")
    for _ in range(8):
        with pytest.raises(StoreDown):
            await stage.breaker.get("a")
        await stage.pass_time()
    assert stage.waits[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert stage.store.asked == ["get", *["now"] * 8]
    stage.store.behave = stage.store._fine
    await stage.pass_time()
    assert await stage.breaker.get("a") == b"a"
    assert stage.breaker.condition == Condition(False, stage.now)
    assert [condition.open for condition in stage.told] == [True, False]


async def test_a_probe_that_is_refused_closes_it(stage: Stage) -> None:
    stage.store.behave = _time_out
    with pytest.raises(StoreDown):
        await stage.breaker.get("a")
    stage.store.behave = _refuse
    await stage.pass_time()
    assert not stage.breaker.condition.open


async def test_a_probe_that_breaks_is_made_again(stage: Stage) -> None:
    async def broken() -> None:
        raise RuntimeError("a mistake")

    stage.store.behave = _time_out
    with pytest.raises(StoreDown):
        await stage.breaker.get("a")
    stage.store.behave = broken
    await stage.pass_time()
    assert stage.breaker.condition.open
    stage.store.behave = stage.store._fine
    await stage.pass_time()
    assert not stage.breaker.condition.open


@pytest.mark.parametrize(("good_for", "next_wait"), [(1.0, 0.2), (60.0, 0.1)])
async def test_a_store_that_fails_again_soon_is_left_alone_for_longer(
    stage: Stage, good_for: float, next_wait: float
) -> None:
    for pause in (0.0, good_for):
        stage.now += pause
        stage.store.behave = _time_out
        with pytest.raises(StoreDown):
            await stage.breaker.get("a")
        stage.store.behave = stage.store._fine
        await stage.pass_time()
        assert not stage.breaker.condition.open
    assert stage.waits == [0.1, next_wait]


async def test_leaving_closes_the_store_behind_it() -> None:
    store = Fickle()
    told: list[Condition] = []
    async with Breaker.before(store, told.append) as breaker:
        store.behave = _time_out
        with pytest.raises(StoreDown):
            await breaker.get("a")
        assert [condition.open for condition in told] == [True]
    assert store.closed


async def test_closing_ends_the_probing(stage: Stage) -> None:
    stage.store.behave = _time_out
    with pytest.raises(StoreDown):
        await stage.breaker.get("a")
    await _turns()
    await stage.breaker.close()
    await stage.pass_time()
    assert stage.store.asked == ["get"]
