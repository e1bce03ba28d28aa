"""Listening: gaps are said before what follows them, and a server that hangs is noticed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from roadworthy.redis.subscription import Subscription
from unit.redis.scripted import Command, Scripted, polite, scripted, until

GAP = b"(gap)"


def _confirm(command: Command) -> bytes | None:
    if command[0] == b"SUBSCRIBE":
        return b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    if command[0] == b"PING" and len(command) == 1:
        # Both forms: before subscribing, and after.
        return b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    return polite(command)


def _message(text: bytes) -> bytes:
    return b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%d\r\n%b\r\n" % (len(text), text)


@asynccontextmanager
async def _listening(server: Scripted, heard: list[bytes], quiet: float = 60.0) -> AsyncIterator[Subscription]:
    def received(message: bytes) -> None:
        heard.append(message)
        if message == b"bad":
            raise ValueError(message)

    subscription = Subscription(
        server.address,
        b"c",
        received,
        lambda: heard.append(GAP),
        name="test",
        timeout=timedelta(seconds=0.2),
        quiet=timedelta(seconds=quiet),
    )
    async with subscription.kept():
        yield subscription


async def test_messages_come_in_order_after_the_gap_of_the_start() -> None:
    heard: list[bytes] = []
    async with scripted() as server:
        server.answer = _confirm
        async with _listening(server, heard):
            assert heard == [GAP]
            server.say(_message(b"one") + _message(b"two")[:9])
            await until(lambda: len(heard) == 2)
            server.say(_message(b"two")[9:])
            await until(lambda: len(heard) == 3)
    assert heard == [GAP, b"one", b"two"]


async def test_a_message_together_with_the_confirmation_comes_after_the_gap() -> None:
    heard: list[bytes] = []
    async with scripted() as server:
        server.answer = lambda command: (
            (_confirm(command) or b"") + (_message(b"early") if command[0] == b"SUBSCRIBE" else b"")
        )
        async with _listening(server, heard):
            await until(lambda: len(heard) == 2)
    assert heard == [GAP, b"early"]


async def test_a_new_connection_is_a_gap() -> None:
    heard: list[bytes] = []
    async with scripted() as server:
        server.answer = _confirm
        async with _listening(server, heard) as subscription:
            for text in (b"one", b"two", b"three"):
                server.say(_message(text))
                await until(lambda text=text: heard[-1] == text)
                server.cut()
                await until(lambda: heard[-1] == GAP)
            assert subscription.listening
    assert heard == [GAP, b"one", GAP, b"two", GAP, b"three", GAP]


async def test_a_server_that_hangs_is_noticed_by_its_silence() -> None:
    heard: list[bytes] = []
    async with scripted() as server:
        server.answer = _confirm
        async with _listening(server, heard, quiet=0.05) as subscription:
            await until(lambda: server.commands.count([b"PING"]) > 4)
            assert heard == [GAP]
            server.answer = lambda command: None
            await until(lambda: not subscription.listening)
            server.answer = _confirm
            await until(lambda: subscription.listening)
    assert heard == [GAP, GAP]


async def test_a_message_that_cannot_be_handled_does_not_end_the_listening() -> None:
    heard: list[bytes] = []
    async with scripted() as server:
        server.answer = _confirm
        async with _listening(server, heard):
            server.say(_message(b"bad") + _message(b"good"))
            await until(lambda: heard[-1] == b"good")
    assert heard == [GAP, b"bad", b"good"]


async def test_a_server_that_is_not_there_stops_no_start() -> None:
    heard: list[bytes] = []
    async with scripted() as server:
        pass
    async with _listening(server, heard) as subscription:
        assert not subscription.listening
    assert heard == []
