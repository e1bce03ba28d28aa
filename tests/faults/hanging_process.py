"""`roadworthy work` on jobs that never end, with less patience: `python hanging_process.py ARGUMENTS OF ROADWORTHY`."""

import asyncio
import sys
import time

from roadworthy import Service, seconds
from roadworthy.cli.main import main
from roadworthy.jobs import worker

service = Service("hanging")
database = service.database()
work = service.queue("work", lease=seconds(1), concurrency=1, timeout=seconds(0.3))


@work.job()
async def swallows() -> None:
    """Go on, whatever is asked."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


@work.job()
def waits() -> None:
    """Wait where nobody can interrupt it."""
    time.sleep(3600)


@work.job()
async def blocks() -> None:
    """Block the loop."""
    time.sleep(3600)  # noqa: ASYNC251


if __name__ == "__main__":
    worker._AFTER_CANCEL = 0.2
    worker._STUCK_AT_MOST = 0.5
    sys.exit(main(sys.argv[1:]))
