from __future__ import annotations

import asyncio
import os
import signal

from roadworthy.runtime.signals import Stop, stopping


async def test_the_first_signal_asks_and_the_second_forces() -> None:
    with stopping() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(60):
            await stop.requested.wait()
        assert not stop.forced.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(60):
            await stop.forced.wait()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def test_under_nohup_the_end_of_the_terminal_is_no_end() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_signal_cancels_what_can_be_interrupted_and_no_more() -> None:
    async def work(seconds: float) -> bool:
        await asyncio.sleep(seconds)
        return False

    stop = Stop()
    assert await stop.interrupting(work(0), lambda: True) is False
    stop.signal()
    async with asyncio.timeout(60):
        assert await stop.interrupting(work(600), lambda: True) is True
        assert await stop.interrupting(work(0.01), lambda: False) is False
