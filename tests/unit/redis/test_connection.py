"""The connection of a process: greeting, failing at once, coming back, and what the server refuses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
import uvloop

from roadworthy.redis.address import Address
from roadworthy.redis.connection import Connection
from roadworthy.redis.errors import RedisDown, Refused
from roadworthy.redis.script import Script
from unit.redis.scripted import Command, polite, scripted, until

SHORT = timedelta(seconds=0.15)
LONG = timedelta(seconds=60)


@asynccontextmanager
async def _connected(address: Address, timeout: timedelta = LONG) -> AsyncIterator[Connection]:
    async with Connection.open(address, name="test", timeout=timeout) as connection:
        yield connection


async def test_the_greeting_says_who_and_where() -> None:
    async with scripted() as server:
        address = replace(server.address, user="me", password="secret", database=3)
        async with _connected(address) as connection:
            assert connection.connected
            assert connection.trouble is None
        assert server.commands == [
            [b"AUTH", b"me", b"secret"],
            [b"SELECT", b"3"],
            [b"CLIENT", b"SETNAME", b"test"],
            [b"PING"],
        ]
        assert not connection.connected
        with pytest.raises(RedisDown, match="closed"):
            await connection.get(b"a")


async def test_a_server_that_takes_no_name_does_without() -> None:
    async with scripted() as server:
        server.answer = lambda command: b"-ERR unknown command\r\n" if command[0] == b"CLIENT" else polite(command)
        async with _connected(server.address) as connection:
            assert connection.connected


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (b"AUTH", "WRONGPASS invalid username-password pair"),
        (b"PING", "LOADING Redis is loading the dataset in memory"),
    ],
)
async def test_a_server_that_refuses_the_greeting_is_tried_again(refused: bytes, error: str) -> None:
    async with scripted() as server:
        server.answer = lambda command: f"-{error}\r\n".encode() if command[0] == refused else polite(command)
        async with _connected(replace(server.address, password="secret")) as connection:
            assert not connection.connected
            assert error.split()[0] in str(connection.trouble)
            assert "secret" not in str(connection.trouble)
            with pytest.raises(RedisDown, match=r"REDIS_URL is right"):
                await connection.execute("PING")
            server.answer = polite
            await until(lambda: connection.connected)
            assert await connection.get(b"a") == b"a"


async def test_a_server_that_is_not_there_stops_no_start() -> None:
    async with scripted() as server:
        pass
    async with _connected(server.address) as connection:
        with pytest.raises(RedisDown, match=f"redis://127.0.0.1:{server.address.port}/0 cannot be used"):
            await connection.get(b"a")


async def test_a_host_whose_name_is_none_is_said() -> None:
    async with _connected(Address(host="a" * 70)) as connection:
        assert "cannot be used" in str(connection.trouble)


async def test_a_server_that_accepts_and_never_answers_holds_nobody() -> None:
    async with scripted() as server:
        server.answer = lambda command: None
        async with _connected(server.address, SHORT) as connection:
            assert "no answer within 0.15 s" in str(connection.trouble)
            with pytest.raises(RedisDown):
                await connection.get(b"a")
            server.answer = polite
            await until(lambda: connection.connected)


async def test_a_lost_connection_is_made_again() -> None:
    async with scripted() as server, _connected(server.address) as connection:
        for _ in range(3):
            server.answer = lambda command: None if command[0] == b"GET" else polite(command)
            waiting = [asyncio.ensure_future(connection.get(b"a")) for _ in range(5)]
            await until(lambda: [b"GET", b"a"] in server.commands)
            server.cut()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(outcome, RedisDown) for outcome in outcomes)
            with pytest.raises(RedisDown, match="is not connected: the server closed the connection"):
                await connection.get(b"a")
            server.answer = polite
            await until(lambda: connection.connected)
            assert await connection.get(b"b") == b"b"
            server.commands.clear()


async def test_a_server_that_drops_everybody_is_not_stormed() -> None:
    async with scripted() as server:

        def greet_and_cut(command: Command) -> bytes | None:
            if command[0] == b"PING":
                asyncio.get_running_loop().call_later(0.01, server.cut)
            return polite(command)

        server.answer = greet_and_cut
        async with _connected(server.address):
            await asyncio.sleep(0.6)
        assert sum(command == [b"PING"] for command in server.commands) < 12


async def test_after_one_time_out_commands_fail_at_once() -> None:
    async with scripted() as server, _connected(server.address, SHORT) as connection:
        server.answer = lambda command: None
        loop = asyncio.get_running_loop()
        with pytest.raises(RedisDown, match=r"no answer within 0\.15 s"):
            await connection.get(b"a")
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(count)

        loop.call_soon(count)
        for _ in range(1000):
            with pytest.raises(RedisDown):
                await connection.get(b"a")
        # Not even one turn of the loop was waited for.
        assert turns == 0


async def test_a_script_is_sent_whole_where_it_is_not_known() -> None:
    script = Script("return 1")

    async with scripted() as server, _connected(server.address) as connection:
        server.answer = lambda command: b"-NOSCRIPT No matching script\r\n" if command[0] == b"EVALSHA" else b":1\r\n"
        server.commands.clear()
        assert await connection.run(script, ["k"], [5]) == 1
        server.answer = lambda command: b":2\r\n"
        assert await connection.run(script, ["k"], [5]) == 2
    assert server.commands == [
        [b"EVALSHA", script.digest.encode(), b"1", b"k", b"5"],
        [b"EVAL", b"return 1", b"1", b"k", b"5"],
        [b"EVALSHA", script.digest.encode(), b"1", b"k", b"5"],
    ]


async def test_a_refusal_is_of_one_command() -> None:
    async with scripted() as server, _connected(server.address) as connection:
        server.answer = lambda command: b"-MOVED 1 a:1\r\n" if command[0] in {b"SET", b"EVALSHA"} else polite(command)
        with pytest.raises(Refused, match="Redis Cluster") as refused:
            await connection.execute("SET", "a", "b")
        assert refused.value.code == "MOVED"
        with pytest.raises(Refused, match="Redis Cluster"):
            await connection.run(Script("return 1"), [], [])
        assert connection.connected
        assert await connection.get(b"a") == b"a"


async def test_what_is_posted_is_sent_and_its_answer_dropped() -> None:
    async with scripted() as server, _connected(server.address) as connection:
        connection.post("GET", "posted")
        assert await connection.get(b"asked") == b"asked"
        assert server.commands[-2:] == [[b"GET", b"posted"], [b"GET", b"asked"]]
        server.cut()
        await until(lambda: not connection.connected)
        connection.post("GET", "dropped")


async def _cancellation_storm() -> None:
    choose = random.Random(11)
    async with scripted() as server, _connected(server.address) as connection:

        async def ask(number: int) -> None:
            key = b"key-%d" % number
            assert await connection.get(key) == key

        for round_ in range(20):
            tasks = [asyncio.create_task(ask(1000 * round_ + n)) for n in range(100)]
            while not all(task.done() for task in tasks):
                for task in tasks:
                    if choose.random() < 0.05:
                        task.cancel()
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
        assert await connection.get(b"last") == b"last"


async def test_a_storm_of_cancelled_callers_gives_nobody_another_ones_reply() -> None:
    await _cancellation_storm()


def test_it_works_on_uvloop_too() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_cancellation_storm())
        runner.run(_frozen_once())


async def _frozen_once() -> None:
    async with scripted() as server, _connected(server.address, SHORT) as connection:
        server.answer = lambda command: None
        outcomes = await asyncio.gather(*(connection.get(b"a") for _ in range(50)), return_exceptions=True)
        assert all(isinstance(outcome, RedisDown) for outcome in outcomes)
        server.answer = polite
        await until(lambda: connection.connected)
        assert await connection.get(b"a") == b"a"


async def test_callers_beyond_what_may_be_in_flight_wait_and_are_served() -> None:
    async with scripted() as server, _connected(server.address) as connection:
        values = await asyncio.gather(*(connection.get(b"%d" % n) for n in range(21_000)))
        assert values[::5000] == [b"%d" % n for n in range(0, 21_000, 5000)]
