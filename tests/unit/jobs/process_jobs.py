"""Functions for child processes, in a module that these can import."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from roadworthy import GiveUp, Service, Snooze, current_job, hours
from roadworthy.telemetry.logging import get_logger

service = Service("computing")
work = service.queue("work")


@work.job(process=True)
def note(path: str, text: str, at: datetime | None = None) -> dict[str, object]:
    job = current_job()
    assert job is not None
    get_logger(__name__).info("noted", text=text)
    Path(path).write_text(f"{os.getpid()} {text} {job.id} {job.attempt} {type(at).__name__}")
    return {"pid": os.getpid(), "text": text}


@work.job(process=True)
def fails(message: str) -> None:
    raise ZeroDivisionError(message)


@dataclass(frozen=True)
class Size:
    letters: int
    at: datetime


@work.job(process=True, keep=hours(1))
def sizes(text: str) -> Size:
    return Size(len(text), datetime(2030, 1, 1, tzinfo=UTC))


@work.job(process=True)
def ponders(*, give_up: bool = False) -> None:
    if give_up:
        raise GiveUp("it is of no use")
    raise Snooze(timedelta(hours=1))


@work.job(process=True)
def dies(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


@work.job(process=True)
def crashes() -> None:
    ctypes.string_at(0)


@work.job(process=True)
def leaves() -> None:
    os._exit(3)


@work.job(process=True)
def hangs(path: str, *, stubborn: bool = False, helper: bool = False) -> None:
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids = [os.getpid()]
    if helper:
        pids.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    Path(path).write_text(" ".join(map(str, pids)))
    try:
        while True:
            time.sleep(0.01)
    finally:
        Path(path + ".cleaned").write_text("yes")


@work.job(process=True)
def meets(mine: str, other: str) -> None:
    """End once the other one runs, too."""
    Path(mine).touch()
    deadline = time.monotonic() + 60
    while not Path(other).exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the other never ran beside this one")
        time.sleep(0.01)


JOBS = {job.name: job.spec for job in (note, fails, dies, crashes, leaves, hangs, meets, ponders)}
