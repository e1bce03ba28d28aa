"""One connection for many: one write a turn, everybody their own reply, one time-out for all."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, cast

import pytest

from roadworthy.redis.errors import RedisDown, Refused
from roadworthy.redis.link import Link
from roadworthy.redis.protocol import pack, pack_get


class Wire:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.aborted = False

    def set_write_buffer_limits(self, high: int) -> None: ...

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def abort(self) -> None:
        self.aborted = True


def _linked(timeout: float = 10.0) -> tuple[Link, Wire, list[Link]]:
    lost: list[Link] = []
    link, wire = Link(timeout, lost.append), Wire()
    link.connection_made(cast(asyncio.BaseTransport, wire))
    return link, wire, lost


async def _outcomes(futures: list[asyncio.Future[Any]]) -> list[Any]:
    return await asyncio.gather(*futures, return_exceptions=True)


async def test_what_is_asked_for_in_one_turn_leaves_in_one_write() -> None:
    link, wire, _ = _linked()
    futures = [link.send(pack_get(b"%d" % n)) for n in range(100)]
    assert wire.writes == []
    await asyncio.sleep(0)
    assert wire.writes == [b"".join(pack_get(b"%d" % n) for n in range(100))]
    link.data_received(b":1\r\n" * 60)
    link.data_received(b":2\r\n" * 40)
    assert await asyncio.gather(*futures) == [1] * 60 + [2] * 40
    futures = [link.send(pack("PING"))]
    await asyncio.sleep(0)
    assert len(wire.writes) == 2
    link.data_received(b"+PONG\r\n")
    assert await asyncio.gather(*futures) == [b"PONG"]


async def test_much_is_not_held_back_until_the_end_of_the_turn() -> None:
    link, wire, _ = _linked()
    futures = [link.send(pack("SET", "a", b"x" * 200_000)) for _ in range(4)]
    assert len(wire.writes) == 2
    link.data_received(b"+OK\r\n" * 4)
    assert await asyncio.gather(*futures) == [b"OK"] * 4


async def test_an_error_is_raised_where_it_belongs() -> None:
    link, _, lost = _linked()
    futures = [link.send(pack("GET", "a")) for _ in range(3)]
    await asyncio.sleep(0)
    link.data_received(b"$1\r\nx\r\n-OOM command not allowed\r\n$1\r\ny\r\n")
    first, second, third = await _outcomes(futures)
    assert (first, third) == (b"x", b"y")
    assert isinstance(second, Refused)
    assert not lost


async def test_callers_that_go_away_leave_the_others_their_replies() -> None:
    link, wire, _ = _linked()
    choose = random.Random(5)
    served = 0
    for turn in range(50):
        futures = [link.send(pack_get(b"%d" % n)) for n in range(40)]
        early = [future for future in futures if choose.random() < 0.3 and future.cancel()]
        await asyncio.sleep(0)
        late = [future for future in futures if choose.random() < 0.3 and future.cancel()]
        wire.writes.clear()
        replies = b"".join(b":%d\r\n" % (1000 * turn + n) for n in range(40))
        cut = choose.randrange(len(replies))
        link.data_received(replies[:cut])
        await asyncio.sleep(0)
        link.data_received(replies[cut:])
        assert early
        assert late
        for n, future in enumerate(futures):
            if not future.cancelled():
                assert await future == 1000 * turn + n
                served += 1
    assert served > 500


async def test_all_fail_together_when_the_oldest_has_waited_too_long() -> None:
    link, wire, lost = _linked(timeout=0.1)
    old = link.send(pack("GET", "a"))
    await asyncio.sleep(0.06)
    young = [link.send(pack("GET", "b")) for _ in range(10)]
    began = asyncio.get_running_loop().time()
    outcomes = await _outcomes([old, *young])
    assert asyncio.get_running_loop().time() - began < 0.1
    assert all(isinstance(outcome, RedisDown) and "no answer within 0.1 s" in str(outcome) for outcome in outcomes)
    assert len({id(outcome) for outcome in outcomes}) == 11
    assert wire.aborted
    assert lost == [link]
    with pytest.raises(RedisDown, match="no answer"):
        await link.send(pack("GET", "a"))


async def test_a_server_that_keeps_answering_is_not_given_up() -> None:
    link, _, lost = _linked(timeout=0.1)
    for _ in range(8):
        futures = [link.send(pack("PING")) for _ in range(3)]
        await asyncio.sleep(0.04)
        link.data_received(b"+PONG\r\n" * 3)
        assert await asyncio.gather(*futures) == [b"PONG"] * 3
    await asyncio.sleep(0.15)
    assert not lost


async def test_one_timer_watches_any_number_of_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), 0
    call_at = loop.call_at

    def counted(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return call_at(*arguments, **options)

    link, _, _ = _linked()
    monkeypatch.setattr(loop, "call_at", counted)
    for _ in range(100):
        future = link.send(pack("PING"))
        await asyncio.sleep(0)
        link.data_received(b"+PONG\r\n")
        await future
    monkeypatch.undo()
    assert timers == 1


async def test_an_answer_that_lay_unread_while_the_loop_was_blocked_counts() -> None:
    link, _, lost = _linked(timeout=0.05)
    future = link.send(pack("PING"))
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251
    await asyncio.sleep(0.01)
    link.data_received(b"+PONG\r\n")
    assert await future == b"PONG"
    assert not lost


async def test_a_loop_that_is_always_late_gives_up_all_the_same() -> None:
    link, _, lost = _linked(timeout=0.05)
    future = link.send(pack("PING"))
    for _ in range(4):
        await asyncio.sleep(0)
        time.sleep(0.15)  # noqa: ASYNC251
    await _outcomes([future])
    assert lost == [link]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "does not speak Redis's protocol"),
        (b"+OK\r\n+OK\r\n", "what it was not asked"),
    ],
)
async def test_a_server_that_talks_nonsense_is_given_up(sent: bytes, why: str) -> None:
    link, wire, lost = _linked()
    future = link.send(pack("PING"))
    await asyncio.sleep(0)
    link.data_received(sent)
    await _outcomes([future])
    assert why in str(link.broken)
    assert wire.aborted
    assert lost == [link]


async def test_a_lost_connection_fails_what_is_in_flight_and_what_was_not_sent() -> None:
    link, _, lost = _linked()
    sent = link.send(pack("PING"))
    await asyncio.sleep(0)
    unsent = link.send(pack("PING"))
    link.connection_lost(ConnectionResetError("reset"))
    link.connection_lost(None)
    assert all(isinstance(outcome, RedisDown) for outcome in await _outcomes([sent, unsent]))
    assert lost == [link]


async def test_callers_wait_while_the_server_takes_nothing() -> None:
    link, _, _ = _linked(timeout=0.2)
    link.pause_writing()
    assert link.full
    waiting = [asyncio.create_task(link.room()) for _ in range(3)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    await asyncio.sleep(0)
    assert not waiting[1].done()
    link.resume_writing()
    await asyncio.gather(*waiting[1:])
    link.pause_writing()
    with pytest.raises(RedisDown, match="no room"):
        await link.room()


async def test_too_many_in_flight_make_callers_wait() -> None:
    link, _, _ = _linked()
    futures = [link.send(b"") for _ in range(20_000)]
    await asyncio.sleep(0)
    assert link.full
    waiting = asyncio.create_task(link.room())
    await asyncio.sleep(0)
    link.data_received(b":1\r\n")
    await asyncio.wait_for(waiting, 60)
    link.drop("over")
    await _outcomes(futures)
