from __future__ import annotations

import asyncio
import os
import signal

from roadworthy.runtime.signals import stopping


async def test_the_first_signal_asks_and_the_second_forces() -> None:
    with stopping() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await stop.requested.wait()
        assert not stop.forced.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(10):
            await stop.forced.wait()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
