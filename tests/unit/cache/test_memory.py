"""The memory tier: what it keeps, what it lets go, and that it never holds more than it may."""

from __future__ import annotations

import random
from collections import OrderedDict
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.cache.memory import LARGEST_SHARE, OVERHEAD, Memory
from roadworthy.cache.record import Entry

NOW = 1_000_000_000.0
LATER = NOW + 3600
PLENTY = 10**9


def entry(size: int = 10, kept_until: float = LATER) -> Entry:
    return Entry(bytes(size), stamp=1, fresh_until=kept_until, kept_until=kept_until)


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def memory(entries: int = 100, bytes: int = PLENTY) -> Memory:
    return Memory(entries, bytes, now=lambda: NOW)


def test_what_was_put_is_there_until_it_is_popped() -> None:
    tier, kept = memory(), entry()
    assert tier.get("a") is None
    assert tier.put("a", kept)
    assert tier.get("a") is kept
    assert len(tier) == 1
    assert tier.pop("a") is kept
    assert tier.pop("a") is None
    assert (len(tier), tier.bytes, tier.evictions) == (0, 0, 0)


def test_a_use_is_one_increment_on_the_entry() -> None:
    tier, kept = memory(), entry()
    tier.put("a", kept)
    tier.get("a")
    tier.held["a"].hits += 1
    assert kept.hits == 2


def test_the_dictionary_is_the_same_for_life() -> None:
    tier = memory()
    held = tier.held
    tier.put("a", entry())
    tier.clear()
    tier.put("b", entry())
    assert tier.held is held
    assert set(held) == {"b"}


def test_bytes_count_the_value_the_name_and_an_overhead() -> None:
    tier = memory()
    tier.put("name", entry(100))
    assert tier.bytes == 100 + 4 + OVERHEAD


def test_a_new_entry_takes_the_place_of_the_former_whose_uses_count_on() -> None:
    tier, new = memory(), entry(50)
    tier.put("a", entry(10))
    tier.get("a")
    tier.put("a", new)
    assert tier.held == {"a": new}
    assert new.hits == 1
    assert tier.bytes == 50 + 1 + OVERHEAD
    assert tier.evictions == 0


def test_an_entry_that_comes_back_begins_without_uses() -> None:
    tier, kept = memory(), entry()
    tier.put("a", kept)
    tier.get("a")
    tier.pop("a")
    tier.put("a", kept)
    assert kept.hits == 0


def test_an_entry_above_a_tenth_of_the_bytes_is_not_kept_and_nor_is_what_it_was_to_replace() -> None:
    tier = memory(bytes=LARGEST_SHARE * 1000)
    assert tier.put("a", entry(1000 - 1 - OVERHEAD))
    assert not tier.put("a", entry(1000 - OVERHEAD))
    assert (len(tier), tier.bytes) == (0, 0)


def test_who_is_told_of_an_eviction_may_put_and_pop() -> None:
    told: list[str] = []

    def evicted(name: str, _entry: Entry) -> None:
        told.append(name)
        assert name not in tier.held
        tier.pop("none")

    tier = Memory(2, PLENTY, now=lambda: NOW, on_evict=evicted)
    for name in "abc":
        tier.put(name, entry())
    assert told == ["a"]
    tier.put("b", entry())
    tier.pop("c")
    tier.clear()
    assert told == ["a"]
    assert tier.evictions == 1


def test_what_has_ended_goes_before_what_has_not(clock: Clock) -> None:
    tier = Memory(20, PLENTY, now=clock)
    for number in range(20):
        tier.put(f"{number}", entry(kept_until=NOW + 10 if number % 2 else LATER))
        for _ in range(5):
            tier.get(f"{number}")
    clock.time = NOW + 30
    for number in range(10):
        tier.put(f"new {number}", entry(kept_until=LATER))
    assert set(tier.held) == {f"{number}" for number in range(0, 20, 2)} | {f"new {number}" for number in range(10)}


def test_what_has_ended_is_found_after_a_long_rest_and_under_a_clock_that_went_back(clock: Clock) -> None:
    tier = Memory(1000, PLENTY, now=clock)
    for number in range(1000):
        tier.put(f"{number}", entry(kept_until=NOW + 86_400 * number))
    clock.time = NOW + 500 * 86_400 + 60
    for number in range(400):
        tier.put(f"new {number}", entry(kept_until=clock.time + 86_400))
        clock.time -= 0.01
    assert {f"{number}" for number in range(501, 1000)} - set(tier.held) <= {f"{number}" for number in range(501, 901)}
    for number in range(2_000):
        tier.put(f"newer {number}", entry(kept_until=clock.time + 86_400))
    assert not {f"{number}" for number in range(501)} & set(tier.held)


def test_a_scan_does_not_drive_out_what_is_used() -> None:
    tier = memory(entries=100)
    used = [f"used {number}" for number in range(50)]
    for name in used:
        tier.put(name, entry())
    for number in range(2_000):
        for name in used[number % 50 : number % 50 + 2]:
            tier.get(name)
        tier.put(f"once {number}", entry())
    assert set(used) <= set(tier.held)


def test_no_put_evicts_without_bound() -> None:
    tier = memory(entries=100_000, bytes=LARGEST_SHARE * 1000 * 1000)
    for number in range(15_000):
        tier.put(f"{number}", entry())
        tier.get(f"{number}")
    before, attempts = len(tier), 0
    while not tier.put("large", entry(900_000)):
        assert before - len(tier) <= 128
        assert tier.bytes <= LARGEST_SHARE * 1000 * 1000
        before, attempts = len(tier), attempts + 1
        assert attempts < 100
    assert tier.get("large") is not None


def zipf(keys: int, exponent: float, length: int) -> list[str]:
    weights = list(accumulate(1 / rank**exponent for rank in range(1, keys + 1)))
    return [f"{key}" for key in random.Random(7).choices(range(keys), cum_weights=weights, k=length)]


@pytest.mark.parametrize("exponent", [0.7, 1.0])
def test_more_of_a_zipf_trace_is_found_than_the_least_recently_used_would_leave(exponent: float) -> None:
    tier, lru = memory(entries=100), OrderedDict[str, None]()
    found, lru_found = 0, 0
    for name in zipf(2_000, exponent, 30_000):
        if tier.get(name) is None:
            tier.put(name, entry())
        else:
            found += 1
        if name in lru:
            lru.move_to_end(name)
            lru_found += 1
        else:
            lru[name] = None
            if len(lru) > 100:
                lru.popitem(last=False)
    assert found > lru_found * 1.1


NAMES = st.sampled_from([f"name {number}" for number in range(12)])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, st.integers(0, 700), st.sampled_from([-5.0, 5.0, 50.0, 5000.0])),
        st.tuples(st.just("get"), NAMES),
        st.tuples(st.just("pop"), NAMES),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 20.0, 600.0])),
        st.tuples(st.just("clear")),
    ),
    max_size=120,
)


@given(OPERATIONS, st.integers(1, 8), st.sampled_from([1, 9_000, 14_000, PLENTY]))
def test_it_agrees_with_a_dictionary_but_for_what_it_drove_out(
    operations: list[tuple[object, ...]], entries: int, bytes: int
) -> None:
    model: dict[str, Entry] = {}
    evicted: list[str] = []
    clock = Clock()

    def drop(name: str, gone: Entry) -> None:
        assert model.pop(name) is gone
        evicted.append(name)

    tier = Memory(entries, bytes, now=clock, on_evict=drop)
    for operation in operations:
        match operation:
            case ["put", str(name), int(size), float(seconds)]:
                new = entry(size, clock.time + seconds)
                model.pop(name, None)
                if tier.put(name, new):
                    model[name] = new
            case ["get", str(name)]:
                assert tier.get(name) is model.get(name)
            case ["pop", str(name)]:
                assert tier.pop(name) is model.pop(name, None)
            case ["wait", float(seconds)]:
                clock.time += seconds
            case _:
                tier.clear()
                model.clear()
        assert tier.held == model
        assert len(tier) == len(model) <= entries
        assert tier.bytes == sum(len(kept.data) + len(name) + OVERHEAD for name, kept in model.items()) <= bytes
        assert tier.evictions == len(evicted)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=400), st.integers(1, 10))
def test_a_put_is_kept_where_there_is_room_for_it_at_all(puts: list[tuple[int, bool]], entries: int) -> None:
    tier = memory(entries=entries)
    for number, used in puts:
        new = entry()
        assert tier.put(f"{number}", new)
        assert tier.held[f"{number}"] is new
        if used:
            tier.get(f"{number}")
