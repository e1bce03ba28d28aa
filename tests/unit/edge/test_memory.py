from __future__ import annotations

from roadworthy.edge.memory import MemoryResponses
from roadworthy.edge.stored import StoredResponse


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def response(body: bytes = b"x", tags: tuple[str, ...] = ()) -> StoredResponse:
    return StoredResponse(status=200, body=body, tags=tags)


async def test_a_response_is_there_until_its_time_is_over() -> None:
    clock = Clock()
    storage = MemoryResponses(clock=clock)
    kept = response()
    assert await storage.put("a", kept, storage.moment(), 10)
    assert storage.peek("a") is kept
    assert await storage.get("a") is kept
    clock.now = 10
    assert storage.peek("a") is None
    assert (len(storage), storage.bytes) == (0, 0)
    assert not await storage.put("a", kept, storage.moment(), 0)


async def test_what_was_asked_for_before_a_deletion_is_not_kept() -> None:
    storage = MemoryResponses()
    before = storage.moment()
    await storage.put("a", response(), before, 10)
    await storage.delete("a")
    assert storage.peek("a") is None
    assert not await storage.put("a", response(), before, 10)
    assert await storage.put("b", response(), before, 10)
    assert await storage.put("a", response(), storage.moment(), 10)


async def test_tags_take_what_bears_them_and_what_is_under_way() -> None:
    storage = MemoryResponses()
    before = storage.moment()
    await storage.put("a", response(tags=("x", "y")), before, 10)
    await storage.put("b", response(tags=("y",)), before, 10)
    await storage.put("c", response(), before, 10)
    await storage.invalidate(["x"])
    assert [storage.peek(key) is not None for key in "abc"] == [False, True, True]
    assert not await storage.put("a", response(tags=("x",)), before, 10)
    assert await storage.put("a", response(tags=("x",)), storage.moment(), 10)


async def test_it_stays_within_its_bytes_and_drops_what_was_not_used() -> None:
    storage = MemoryResponses(20_000)
    for index in range(100):
        await storage.put(str(index), response(b"x" * 1000), storage.moment(), 10)
        assert storage.peek("0") is not None
        assert storage.bytes <= 20_000
    assert storage.peek("99") is not None
    assert storage.peek("50") is None
    assert not await storage.put("big", response(b"x" * 2500), storage.moment(), 10)


async def test_what_was_deleted_is_remembered_for_bounded_names_on_the_careful_side() -> None:
    storage = MemoryResponses()
    before = storage.moment()
    await storage.delete("a")
    for index in range(20_000):
        await storage.delete(str(index))
    assert not await storage.put("a", response(), before, 10)
    assert await storage.put("a", response(), storage.moment(), 10)
