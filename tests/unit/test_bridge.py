"""From threads to the loop and back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from roadworthy import from_thread, seconds
from roadworthy.bridge import BRIDGE, Bridge
from roadworthy.errors import WrongThread

COLOUR: ContextVar[str] = ContextVar("colour", default="none")


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    made = Bridge(asyncio.get_running_loop())
    BRIDGE.set(made)
    yield made
    BRIDGE.set(None)


async def test_a_result_and_an_error_come_back(bridge: Bridge) -> None:
    async def divide(a: int, b: int) -> float:
        await asyncio.sleep(0)
        return a / b

    BRIDGE.set(bridge)
    assert await asyncio.to_thread(lambda: from_thread(divide(6, 3))) == 2
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: from_thread(divide(6, 0)))


async def test_what_takes_too_long_is_cancelled(bridge: Bridge) -> None:
    BRIDGE.set(bridge)
    cancelled = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        await asyncio.to_thread(lambda: from_thread(slow(), timeout=seconds(0.05)))
    assert cancelled.is_set()


async def test_a_context_is_carried_there_and_back(bridge: Bridge) -> None:
    BRIDGE.set(bridge)

    async def paint(colour: str) -> str:
        before = COLOUR.get()
        COLOUR.set(colour)
        return before

    def work() -> list[str]:
        COLOUR.set("red")
        return [from_thread(paint("blue")), COLOUR.get(), from_thread(paint("green")), COLOUR.get()]

    assert await asyncio.to_thread(work) == ["red", "blue", "blue", "green"]


async def test_a_context_manager_is_entered_and_left_in_one_task(bridge: Bridge) -> None:
    BRIDGE.set(bridge)
    seen: list[Any] = []

    @asynccontextmanager
    async def painted() -> AsyncIterator[str]:
        task = asyncio.current_task()
        token = COLOUR.set("blue")
        async with asyncio.timeout(60):
            try:
                yield "paint"
            except KeyError as error:
                seen.append(error.args)
                raise ValueError("wrapped") from error
            finally:
                COLOUR.reset(token)
                seen.append(asyncio.current_task() is task)

    def work() -> None:
        with from_thread(painted()) as paint:
            assert (paint, COLOUR.get()) == ("paint", "blue")
        assert COLOUR.get() == "none"
        with pytest.raises(ValueError, match="wrapped"), from_thread(painted()):
            raise KeyError("gone")

    await asyncio.to_thread(work)
    assert seen == [True, ("gone",), True]


async def test_a_context_manager_may_swallow_an_error_or_fail_to_begin(bridge: Bridge) -> None:
    BRIDGE.set(bridge)

    @asynccontextmanager
    async def calm() -> AsyncIterator[None]:
        try:
            yield
        except KeyError:
            return

    @asynccontextmanager
    async def closed() -> AsyncIterator[None]:
        raise ConnectionError("nobody there")
        yield

    def work() -> str:
        with from_thread(calm()):
            raise KeyError
        with pytest.raises(ConnectionError), from_thread(closed()):
            raise AssertionError("it never began")
        return "went on"

    assert await asyncio.to_thread(work) == "went on"


async def test_once_cut_what_waits_is_cancelled_and_nothing_begins_but_blocks_end(bridge: Bridge) -> None:
    BRIDGE.set(bridge)
    inside, left = threading.Event(), asyncio.Event()
    refusals: list[str] = []

    @asynccontextmanager
    async def held() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            left.set()

    def work() -> None:
        with from_thread(held()):
            inside.set()
            try:
                from_thread(asyncio.sleep(3600))
            except asyncio.CancelledError:
                refusals.append("cancelled")
            try:
                from_thread(asyncio.sleep(0.01))
            except asyncio.CancelledError:
                refusals.append("refused")
        try:
            with from_thread(held()):
                refusals.append("entered")
        except asyncio.CancelledError:
            refusals.append("not entered")

    working = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.to_thread(inside.wait, 10)
    await asyncio.sleep(0.02)
    bridge.cut()
    await working
    assert refusals == ["cancelled", "refused", "not entered"]
    assert left.is_set()


async def test_on_the_loop_and_in_a_strange_thread_it_is_refused(bridge: Bridge) -> None:
    with pytest.raises(WrongThread, match="write `await` instead"):
        from_thread(asyncio.sleep(0))
    raised: list[BaseException] = []

    def work() -> None:
        try:
            from_thread(asyncio.sleep(0))
        except WrongThread as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join, 10)
    assert "knows of no event loop" in str(raised[0])


def test_after_the_loop_it_is_refused() -> None:
    loop = asyncio.new_event_loop()
    bridge = Bridge(loop)
    loop.close()
    BRIDGE.set(bridge)
    try:
        with pytest.raises(WrongThread, match="loop was over"):
            from_thread(asyncio.sleep(0))
    finally:
        BRIDGE.set(None)
