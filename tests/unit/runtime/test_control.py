from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
import uvloop

from roadworthy.runtime.control import Alive, Boot, Changed, Drain, Failed, Metrics, Scrape, to_process, to_supervisor
from roadworthy.telemetry.exposition import Family, Series, Snapshot

SNAPSHOT = Snapshot((Family("a_total", "counter", "A", "sum", ("l",), (), (Series(("v",), (2.0,)),)),))


async def test_messages_cross_in_both_directions_whole_and_in_order() -> None:
    ours, theirs = socket.socketpair()
    process, supervisor = await to_process(ours), await to_supervisor(theirs)
    commands = [Boot("shop:service", grace=3.0, queue="mail", listener=7), Scrape(), Drain()]
    for command in commands:
        await process.send(command)
    reports = [Changed("ready"), Alive(), Metrics(SNAPSHOT), Failed("x" * 300_000)]
    assert [await supervisor.receive() for _ in commands] == commands
    for report in reports[:2]:
        await supervisor.send(report)
    assert [await process.receive() for _ in reports[:2]] == reports[:2]
    await supervisor.close()
    assert await process.receive() is None
    # Nobody reads this any more, which is no error.
    for _ in range(3):
        await process.send(Drain())
    await process.close()


def test_a_report_to_a_supervisor_that_was_killed_is_lost_without_a_word() -> None:
    async def report() -> None:
        ours, theirs = socket.socketpair()
        supervisor = await to_supervisor(ours)
        theirs.close()
        assert await supervisor.receive() is None
        await supervisor.close()
        await supervisor.send(Metrics(SNAPSHOT))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(report())


async def test_a_message_that_breaks_off_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    process = await to_process(ours)
    theirs.sendall((100).to_bytes(4, "big") + b"abc")
    theirs.close()
    assert await process.receive() is None
    await process.close()


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x01\xc1", b"\xff\xff\xff\xff"])
async def test_another_language_is_refused(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    process = await to_process(ours)
    theirs.sendall(data)
    with pytest.raises(msgspec.DecodeError):
        await process.receive()
    await process.close()
    theirs.close()
