"""A worker in a program of its own, whose job is declared in `__main__`: `python process_worker.py PATH`."""

import asyncio
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from roadworthy import Service
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.jobs.metrics import CATALOGUE
from roadworthy.jobs.worker import Worker
from roadworthy.telemetry.registry import MetricRegistry

service = Service("program")
work = service.queue("work")


@work.job(process=True)
def compute(path: str) -> None:
    """Compute until the end."""
    Path(path).write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pass


async def main() -> None:
    """Work until SIGTERM, which leaves no time."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = MemoryEngine()
    spec = service.spec
    worker = Worker(engine, spec.jobs, spec.queues, name="w", metrics=MetricRegistry(CATALOGUE))
    await engine.enqueue([NewJob("work", "compute", b'{"path": "%s"}' % sys.argv[1].encode(), 1)])
    await worker.run(stop, timedelta(seconds=0))


if __name__ == "__main__":
    asyncio.run(main())
