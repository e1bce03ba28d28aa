"""Two processes, a store that comes and goes, and a dictionary that says what may be read, through any sequence."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadworthy import Cache
from roadworthy.cache.dictionary import Dictionary

from .test_outages import processes

KEYS = ("a", "b", "c")
TAGS = ("t", "u")

_node = st.integers(0, 1)
_key = st.sampled_from(KEYS)
_tags = st.sets(st.sampled_from(TAGS), max_size=2).map(sorted)
_operations = st.lists(
    st.one_of(
        st.tuples(st.just("set"), _node, _key, _tags),
        st.tuples(st.just("load"), _node, _key, _tags),
        st.tuples(st.just("load many"), _node, st.sets(_key, min_size=1).map(sorted), _tags),
        st.tuples(st.just("delete"), _node, _key, st.none()),
        st.tuples(st.just("invalidate"), _node, st.sampled_from(TAGS), st.none()),
        st.tuples(st.just("clear"), _node, st.none(), st.none()),
        st.tuples(st.just("match"), _node, st.sampled_from(["*", "?", "b*"]), st.none()),
        st.tuples(st.just("interrupt"), _node, st.none(), st.none()),
    ),
    max_size=20,
)


class Model:
    """What is cached, by key: a number that counts the values made, and the tags."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[int, list[str]]] = {}
        self.made = 0

    def make(self) -> int:
        self.made += 1
        return self.made

    def drop(self, tag: str) -> None:
        self.kept = {key: one for key, one in self.kept.items() if tag not in one[1]}


async def _apply(model: Model, dictionary: Dictionary, cache: Cache, name: str, what: Any, tags: Any) -> None:
    async def load(keys: list[str]) -> dict[str, int]:
        made = {key: model.make() for key in keys}
        model.kept |= {key: (value, tags) for key, value in made.items()}
        return made

    match name:
        case "set":
            model.kept[what] = model.make(), tags
            await cache.set(what, model.made, tags=tags)
        case "load":
            got = await cache.get_or_set(what, lambda: _first(load, what), tags=tags)
            assert got == model.kept[what][0]
        case "load many":
            many = await cache.get_or_set_many(what, load, tags=tags)
            assert many == {key: model.kept[key][0] for key in what}
        case "delete":
            model.kept.pop(what, None)
            await cache.delete(what)
        case "invalidate":
            model.drop(what)
            await cache.invalidate(what)
        case "clear":
            model.kept.clear()
            await cache.clear()
        case "match":
            model.kept = {key: one for key, one in model.kept.items() if what == "b*" and key != "b"}
            await cache.delete_matching(what)
        case "interrupt":
            dictionary.interrupt()


async def _first(load: Any, key: str) -> Any:
    return (await load([key]))[key]


@given(_operations)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_process_reads_what_was_last_written_and_nothing_that_was_invalidated(operations: list[Any]) -> None:
    async def run() -> None:
        dictionary, model = Dictionary(), Model()
        async with processes(dictionary) as caches:
            for name, node, what, tags in operations:
                await _apply(model, dictionary, caches[node], name, what, tags)
                # What comes next is later by either clock.
                await asyncio.sleep(0.001)
                wanted = {key: value for key, (value, _) in model.kept.items()}
                for cache in caches:
                    assert await cache.get_many(KEYS) == wanted

    asyncio.run(run())


@given(st.lists(st.tuples(st.booleans(), _operations.map(lambda some: some[:3])), max_size=4))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_after_an_outage_all_agree_and_nothing_invalidated_comes_back(rounds: list[tuple[bool, list[Any]]]) -> None:
    async def run() -> None:
        dictionary, model = Dictionary(), Model()
        async with processes(dictionary) as caches:
            for down, operations in rounds:
                dictionary.down = down
                for name, _, what, tags in operations:
                    if name in ("set", "delete", "invalidate", "clear"):
                        # One process acts, so that the model knows what is newest.
                        await _apply(model, dictionary, caches[0], name, what, tags)
                        await asyncio.sleep(0.001)
            dictionary.down = False
            dictionary.interrupt()
            for cache in caches:
                node = cache.open.tiers.node
                assert node.store is not None
                await node.reconcile(node.store)
            wanted = {key: value for key, (value, _) in model.kept.items()}
            for cache in caches:
                got = await cache.get_many(KEYS)
                assert got.items() <= wanted.items()
            assert await caches[0].get_many(KEYS) == await caches[1].get_many(KEYS)

    asyncio.run(run())
