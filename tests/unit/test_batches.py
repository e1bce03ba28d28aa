"""Batches: one turn's requests together, later ones while a batch is under way, failures to whom they concern."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from roadworthy.batches import Batches
from roadworthy.outage import StoreDown, StoreRefused


class Server:
    """Answers with twice what it is asked, batch by batch, when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fails: Exception | None = None

    async def run(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        await self.open.wait()
        if self.fails is not None:
            raise self.fails
        return [2 * one for one in asked]


def batches(server: Server, most: int = 100, **how: Callable[[int], Any]) -> Batches[int, int]:
    return Batches(server.run, most=most, **how)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_one_turn_asks_for_goes_out_as_one() -> None:
    server = Server()
    asking = batches(server)

    async def ask(number: int) -> int:
        return await asking.ask(number)

    assert await asyncio.gather(*map(ask, range(5))) == [0, 2, 4, 6, 8]
    assert server.batches == [[0, 1, 2, 3, 4]]


async def test_what_is_asked_while_a_batch_is_under_way_is_the_next() -> None:
    server = Server()
    asking = batches(server)
    server.open.clear()
    first = asking.ask(1)
    await settle()
    others = [asking.ask(2), asking.ask(3)]
    await settle()
    assert server.batches == [[1]]
    server.open.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert server.batches == [[1], [2, 3]]


async def test_a_batch_has_a_largest_size_but_for_one_that_is_larger_itself() -> None:
    server = Server()
    asking = batches(server, most=10, size=lambda number: number)
    assert await asyncio.gather(*map(asking.ask, (4, 4, 4, 30, 1))) == [8, 8, 8, 60, 2]
    assert server.batches == [[4, 4], [4], [30], [1]]


async def test_those_that_must_be_alone_keep_their_order() -> None:
    server = Server()
    asking = batches(server, alone=lambda number: number % 2)
    await asyncio.gather(*map(asking.ask, (1, 2, 3, 4)))
    assert server.batches == [[1, 2], [3, 4]]


async def test_a_store_that_is_down_fails_those_as_well_who_came_meanwhile() -> None:
    server = Server()
    asking = batches(server)
    server.open.clear()
    server.fails = StoreDown("away")
    first = asking.ask(1)
    await settle()
    second = asking.ask(2)
    server.open.set()
    answers = await asyncio.gather(first, second, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["away", "away"]
    assert server.batches == [[1]]
    server.fails = None
    assert await asking.ask(3) == 6


async def test_a_refusal_concerns_its_batch_alone() -> None:
    server = Server()
    asking = batches(server, most=1)
    server.fails = StoreRefused("full")
    first = asking.ask(1)
    first.add_done_callback(lambda _: setattr(server, "fails", None))
    second = asking.ask(2)
    answers = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(answers[0], StoreRefused)
    assert len(server.batches) == 2


async def test_who_is_cancelled_harms_no_other_and_is_done_all_the_same() -> None:
    server = Server()
    asking = batches(server)
    server.open.clear()
    first, second, late = asking.ask(1), asking.ask(2), asking.ask(3)
    first.cancel()
    await settle()
    late.cancel()
    server.open.set()
    assert await second == 4
    assert server.batches == [[1, 2, 3]]


async def test_closing_answers_what_it_can_and_refuses_the_rest() -> None:
    server = Server()
    asking = batches(server)
    answered = asking.ask(1)
    await asking.close(1)
    assert await answered == 2
    with pytest.raises(StoreDown):
        asking.ask(2)

    server.open.clear()
    hanging = batches(server)
    asked = hanging.ask(1)
    await settle()
    waiting = hanging.ask(2)
    await hanging.close(0.01)
    for one in asked, waiting:
        with pytest.raises(StoreDown):
            await one
