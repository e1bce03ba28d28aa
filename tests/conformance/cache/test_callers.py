"""What callers of one process see, whatever the tiers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest

from roadworthy import InvalidValue, SourceTimeout, minutes, seconds

from .shops import Loading, Quick, Stage, held, until


@dataclass(frozen=True)
class Page:
    n: int
    at: timedelta


async def test_a_value_is_set_read_and_deleted(stage: Stage) -> None:
    async with stage.shop() as cache:
        assert await cache.get("page") is None
        assert await cache.get("page", "nothing") == "nothing"
        await cache.set("page", {"title": "Tea", "n": [1, 2]})
        assert await cache.get("page") == {"title": "Tea", "n": [1, 2]}
        await cache.set("page", "newer")
        assert await cache.get("page") == "newer"
        await cache.delete("page")
        assert await cache.get("page", "nothing") == "nothing"


async def test_many_values_are_set_and_read(stage: Stage) -> None:
    async with stage.shop() as cache:
        await cache.set_many({f"page {n}": n for n in range(10)})
        await cache.delete("page 3", "page 4")
        assert await cache.get_many(["page 2", "page 3", "page 9", "other"]) == {"page 2": 2, "page 9": 9}


async def test_two_hundred_callers_load_once(stage: Stage) -> None:
    load = Loading({"n": 1})
    async with stage.shop() as cache, asyncio.TaskGroup() as group:
        callers = [group.create_task(cache.get_or_set("page", load)) for _ in range(200)]
        await load.began.wait()
        load.go.set()
        results = await asyncio.gather(*callers)
        assert results == [{"n": 1}] * 200
        assert load.calls == 1
        assert len({id(result) for result in results}) == 200


async def test_a_cancelled_first_caller_harms_nobody(stage: Stage) -> None:
    load = Loading()
    async with stage.shop() as cache, asyncio.TaskGroup() as group:
        first = group.create_task(cache.get_or_set("page", load))
        await load.began.wait()
        others = [group.create_task(cache.get_or_set("page", load)) for _ in range(5)]
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0)
        load.go.set()
        assert await asyncio.gather(*others) == ["value"] * 5
        assert first.cancelled()
        assert load.calls == 1


async def test_a_loading_whose_callers_all_left_is_kept(stage: Stage) -> None:
    load = Loading()
    async with stage.shop() as cache:
        caller = asyncio.create_task(cache.get_or_set("page", load))
        await load.began.wait()
        caller.cancel()
        await asyncio.wait([caller])
        load.go.set()

        async def is_kept() -> bool:
            return await cache.get("page") == "value"

        await until(is_kept)
        assert load.calls == 1


async def test_no_caller_can_change_what_the_next_one_gets(stage: Stage) -> None:
    async with stage.shop() as cache:
        for value in ({"a": 1}, [1, 2], {"deep": [{"a": 1}]}):
            key = str(value)
            load = Quick(value)
            for _ in range(3):
                got = await cache.get_or_set(key, load)
                assert got == value
                got.clear()
            assert load.calls == 1


async def test_what_is_loaded_comes_out_alike_for_the_first_and_the_next(stage: Stage) -> None:
    async with stage.shop() as cache:
        assert await cache.get_or_set("pair", Quick((1, 2)), type=tuple[int, int]) == (1, 2)
        assert await cache.get("pair", type=tuple[int, int]) == (1, 2)
        assert await cache.get("pair") == [1, 2]
        with pytest.raises(InvalidValue, match="annotated"):
            await cache.get_or_set("wrong", Quick("text"), type=int)
        with pytest.raises(InvalidValue, match="cannot be kept"):
            await cache.set("wrong", object())
        assert await cache.get("wrong", "nothing") == "nothing"


async def test_none_is_kept_for_its_own_time(stage: Stage) -> None:
    load = Quick(None)
    async with stage.shop(negative_ttl=seconds(1)) as cache:
        for _ in range(3):
            assert await cache.get_or_set("page", load) is None
        assert load.calls == 1
        assert await cache.get("page", "nothing") is None
        await asyncio.sleep(1.05)
        assert await cache.get_or_set("page", load) is None
        assert load.calls == 2


async def test_an_error_reaches_every_caller_and_is_not_kept(stage: Stage) -> None:
    load = Loading(error=LookupError("no"))
    async with stage.shop() as cache:
        callers = [asyncio.create_task(cache.get_or_set("page", load)) for _ in range(5)]
        await load.began.wait()
        load.go.set()
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert [str(error) for error in results] == ["no"] * 5
        assert load.calls == 1
        load.error = None
        assert await cache.get_or_set("page", load) == "value"


async def test_a_stale_value_is_served_while_one_caller_refreshes_it(stage: Stage) -> None:
    async with stage.shop(ttl=seconds(0.05), stale=minutes(5)) as cache:
        await cache.get_or_set("page", Quick("old"))
        await asyncio.sleep(0.06)
        load = Loading("new")
        assert [await cache.get_or_set("page", load) for _ in range(5)] == ["old"] * 5
        await load.began.wait()
        load.go.set()
        await until(lambda: _is(cache.get("page"), "new"))
        assert load.calls == 1


async def test_a_stale_value_is_served_where_its_source_fails_which_is_left_alone_for_a_while(stage: Stage) -> None:
    async with stage.shop(
        ttl=seconds(0.05), stale=minutes(5), retry_after=minutes(5), soft_timeout=seconds(5)
    ) as cache:
        await cache.get_or_set("page", Quick("old"))
        await asyncio.sleep(0.06)
        load = Loading(error=LookupError("no"))
        load.go.set()
        for _ in range(5):
            assert await cache.get_or_set("page", load) == "old"
        assert load.calls == 1


async def test_a_soft_time_out_serves_what_is_stale_and_keeps_what_comes_late(stage: Stage) -> None:
    async with stage.shop(ttl=seconds(0.05), stale=minutes(5), soft_timeout=seconds(0.02)) as cache:
        await cache.get_or_set("page", Quick("old"))
        await asyncio.sleep(0.06)
        load = Loading("new")
        assert await cache.get_or_set("page", load) == "old"
        assert await cache.get_or_set("page", load) == "old"
        load.go.set()
        await until(lambda: _is(cache.get("page"), "new"))
        assert load.calls == 1


async def test_a_time_out_is_an_error_and_what_comes_late_is_kept(stage: Stage) -> None:
    load = Loading()
    async with stage.shop(timeout=seconds(0.1)) as cache:
        for _ in range(2):
            with pytest.raises(SourceTimeout, match=r"'page' within timeout=0\.1 s"):
                await cache.get_or_set("page", load)
        load.go.set()
        await until(lambda: _is(cache.get("page"), "value"))
        assert load.calls == 1


async def test_a_value_is_refreshed_before_its_time(stage: Stage) -> None:
    async with stage.shop(early=10.0, ttl=seconds(2)) as cache:

        async def slow() -> str:
            await asyncio.sleep(0.2)
            return "value"

        await cache.get_or_set("page", slow)
        load = Quick("newer")
        await asyncio.sleep(0.05)
        for _ in range(200):
            if await cache.get_or_set("page", load) == "newer":
                break
            await asyncio.sleep(0.001)
        assert await cache.get_or_set("page", load) == "newer"
        assert cache.statistics().stale == 0


async def test_a_tag_invalidates_what_has_it(stage: Stage) -> None:
    async with stage.shop() as cache:
        await cache.set("tea", 1, tags=["shop:1", "warm"])
        await cache.set("ice", 2, tags=["shop:1"])
        await cache.set("pen", 3)
        await cache.invalidate("warm")
        assert await cache.get_many(["tea", "ice", "pen"]) == {"ice": 2, "pen": 3}
        await cache.invalidate("shop:1", "other")
        assert await cache.get_many(["tea", "ice", "pen"]) == {"pen": 3}
        await settled()
        await cache.set("ice", 4, tags=["shop:1"])
        assert await cache.get("ice") == 4


async def test_clear_leaves_nothing(stage: Stage) -> None:
    async with stage.shop() as cache:
        await cache.set_many({"a": 1, "b": 2})
        await cache.clear()
        assert await cache.get_many(["a", "b"]) == {}
        assert not held(cache)
        await settled()
        await cache.set("a", 3)
        assert await cache.get("a") == 3


async def test_keys_are_deleted_by_pattern(stage: Stage) -> None:
    async with stage.shop() as cache:
        await cache.set_many({"user:1": 1, "user:2": 2, "user:22": 3, "order:1": 4, "user:[1]": 5})
        assert await cache.delete_matching("user:?") == 2
        assert await cache.get_many(["user:1", "user:2", "user:22", "order:1"]) == {"user:22": 3, "order:1": 4}
        assert await cache.delete_matching("user:[1]") == 1
        assert await cache.delete_matching("*") >= 2
        assert await cache.get_many(["user:22", "order:1"]) == {}


async def test_what_was_invalidated_while_it_loaded_is_not_kept(stage: Stage) -> None:
    async with stage.shop() as cache:
        for stop in (cache.invalidate("site"), cache.clear(), cache.delete("page")):
            load = Loading("old")
            caller = asyncio.create_task(cache.get_or_set("page", load, tags=["site"]))
            await load.began.wait()
            await stop
            assert await cache.get("page", "nothing") == "nothing"
            # Whoever asks now must not join the loading that began before.
            newer = Quick("new")
            await settled()
            assert await cache.get_or_set("page", newer, tags=["site"]) == "new"
            load.go.set()
            assert await caller == "old"
            await settled()
            assert await cache.get_or_set("page", newer, tags=["site"]) == "new"
            assert newer.calls == 1
            await cache.clear()
            await settled()


async def test_what_was_set_while_it_loaded_stays(stage: Stage) -> None:
    async with stage.shop() as cache:
        load = Loading("old")
        caller = asyncio.create_task(cache.get_or_set("page", load))
        await load.began.wait()
        await cache.set("page", "set")
        load.go.set()
        assert await caller == "old"
        await settled()
        assert await cache.get("page") == "set"


async def test_missing_keys_alone_are_loaded_in_one_call(stage: Stage) -> None:
    asked: list[list[str]] = []

    async def load(keys: list[str]) -> dict[str, int | None]:
        asked.append(keys)
        return {key: int(key) for key in keys if key != "404"}

    async with stage.shop(negative_ttl=minutes(1)) as cache:
        await cache.set("1", 1)
        assert await cache.get_or_set_many(["1", "2", "404", "2"], load) == {"1": 1, "2": 2, "404": None}
        assert await cache.get_or_set_many(["404", "2", "3"], load) == {"404": None, "2": 2, "3": 3}
        assert asked == [["2", "404"], ["3"]]
    async with stage.shop() as cache:
        await cache.clear()
        await settled()
        asked.clear()
        assert await cache.get_or_set_many(["404"], load) == {"404": None}
        assert await cache.get_or_set_many(["404"], load) == {"404": None}
        assert asked == [["404"], ["404"]]


async def test_two_batches_load_no_key_twice(stage: Stage) -> None:
    asked: list[list[str]] = []
    go = asyncio.Event()

    async def load(keys: list[str]) -> dict[str, str]:
        asked.append(keys)
        await go.wait()
        return dict.fromkeys(keys, "x")

    async with stage.shop() as cache:
        first = asyncio.create_task(cache.get_or_set_many(["1", "2"], load))
        await until(lambda: len(asked) == 1)
        second = asyncio.create_task(cache.get_or_set_many(["2", "3"], load))
        await until(lambda: len(asked) == 2)
        go.set()
        assert await first == {"1": "x", "2": "x"}
        assert await second == {"2": "x", "3": "x"}
        assert asked == [["1", "2"], ["3"]]

        async def fail(keys: list[str]) -> dict[str, str]:
            raise LookupError("no")

        with pytest.raises(LookupError, match="no"):
            await cache.get_or_set_many(["1", "9"], fail)


async def test_a_refresh_loads_now(stage: Stage) -> None:
    calls = 0
    async with stage.shop() as cache:

        async def page(number: int) -> Page:
            nonlocal calls
            calls += 1
            return Page(calls, timedelta(seconds=number))

        cached = cache.cached(key="{number}", tags=["page:{number}"])(page)
        assert await cached(1) == await cached(number=1) == Page(1, timedelta(seconds=1))
        assert await cached.refresh(1) == Page(2, timedelta(seconds=1))
        assert await cached(1) == Page(2, timedelta(seconds=1))
        assert await cache.get(cached.key(1), type=Page) == Page(2, timedelta(seconds=1))
        await cached.invalidate(1)
        await settled()
        assert await cached(1) == Page(3, timedelta(seconds=1))
        await cache.invalidate("page:1")
        await settled()
        assert await cached(1) == Page(4, timedelta(seconds=1))
        assert await cached.uncached(1) == Page(5, timedelta(seconds=1))
        assert await cached(1) == Page(4, timedelta(seconds=1))
        assert await cached.warm([(2,), {"number": 3}, (4,), ("x",)]) == 1
        assert calls == 9
        await cached(3)
        assert calls == 9


async def _is(got: object, wanted: object) -> bool:
    return await got == wanted


async def settled() -> None:
    """Let more time pass than clocks may be apart, so that what comes next counts as later."""
    await asyncio.sleep(0.003)
