"""CPU jobs in child processes: what they are given, what they give back, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil
import pytest

from roadworthy import DeclarationError, Service
from roadworthy.errors import JobProcessDied
from roadworthy.jobs.child import Call, find
from roadworthy.jobs.children import Child
from roadworthy.jobs.engine import ClaimedJob
from unit.jobs import process_jobs
from unit.jobs.process_jobs import JOBS
from unit.jobs.stage import spec_of, working


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def children() -> list[psutil.Process]:
    return [
        child for child in psutil.Process().children() if any("roadworthy.jobs.child" in part for part in line(child))
    ]


def line(process: psutil.Process) -> list[str]:
    """The command line of a process, none once it has ended."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


async def test_a_job_runs_in_a_child_with_its_arguments_and_its_identity(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever another test made of the log of this process.
    monkeypatch.setattr("roadworthy.telemetry.logging.current", lambda: ("json", "info"))
    async with working(JOBS["note"]) as stage:
        for n in range(2):
            await stage.enqueue("note", path=str(tmp_path / str(n)), text=f"é{n}", at="2030-01-01T00:00:00Z")
            await stage.emptied()
        assert len(children()) == 1, "the child is kept for the next job"
    pids = set()
    for n in range(2):
        pid, text, id, attempt, kind = (tmp_path / str(n)).read_text().split()
        assert (text, id, attempt, kind) == (f"é{n}", str(n + 1), "1", "datetime")
        pids.add(int(pid))
    assert pids != {os.getpid()}
    assert len(pids) == 1
    assert not alive(pids.pop()), "it ended with its worker"
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"noted"' in line]
    assert [(line["job"], line["job_id"], line["text"]) for line in lines] == [("note", 1, "é0"), ("note", 2, "é1")]


async def test_an_idle_child_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roadworthy.jobs.children._IDLE_AT_MOST", 0.05)
    async with working(JOBS["note"]) as stage:
        for n in range(2):
            await stage.enqueue("note", path=str(tmp_path / str(n)), text="once")
            await stage.emptied()
            await until(lambda: not children())
    assert (tmp_path / "0").read_text().split()[0] != (tmp_path / "1").read_text().split()[0]


async def test_an_exception_comes_back_with_its_own_class_and_traceback() -> None:
    async with working(JOBS["fails"]) as stage:
        await stage.enqueue("fails", attempts=1, message="by zero")
        await stage.came_to("dead")
        failure = await stage.failure()
    assert failure["error_class"] == "ZeroDivisionError"
    assert failure["message"] == "by zero"
    assert "process_jobs.py" in failure["traceback"]


async def test_a_child_may_put_its_job_off_or_give_it_up() -> None:
    async with working(JOBS["ponders"]) as stage:
        await stage.enqueue("ponders", give_up=True)
        await stage.came_to("dead")
        assert (await stage.failure())["message"] == "it is of no use"
        await stage.enqueue("ponders")
        await stage.came_to("dead", "scheduled")
    assert (stage.count("ponders", "dead"), stage.count("ponders", "snoozed")) == (1, 1)


@pytest.mark.parametrize(
    ("job", "arguments", "words"),
    [
        ("dies", {"number": signal.SIGKILL}, "killed by SIGKILL: by the system when memory ran out"),
        ("crashes", {}, "killed by SIGSEGV"),
        ("leaves", {}, "ended by itself with exit code 3"),
    ],
)
async def test_a_child_that_dies_fails_its_attempt_alone(
    job: str, arguments: dict[str, int], words: str, tmp_path: Path
) -> None:
    async with working(JOBS[job], JOBS["note"]) as stage:
        await stage.enqueue(job, attempts=2, **arguments)
        await stage.came_to("dead")
        failure = await stage.failure()
        await stage.enqueue("note", path=str(tmp_path / "after"), text="after")
        await stage.came_to("dead")
        await until(lambda: not any(child.status() == psutil.STATUS_ZOMBIE for child in psutil.Process().children()))
    assert failure["error_class"] == "roadworthy.errors.JobProcessDied"
    assert words in failure["message"]
    assert stage.count(job, "retried") == 1
    assert (tmp_path / "after").exists()


async def test_two_run_at_once(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    async with working(JOBS["meets"]) as stage:
        await stage.enqueue("meets", mine=one, other=two)
        await stage.enqueue("meets", mine=two, other=one)
        await stage.emptied()
    assert stage.count("meets", "succeeded") == 2


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_deadline_ends_the_child_and_what_it_started(stubborn: bool, tmp_path: Path) -> None:
    path = tmp_path / "pids"
    spec = spec_of(JOBS["hangs"].function, runs="process", timeout=timedelta(hours=1))
    async with working(spec) as stage:
        await stage.enqueue("hangs", attempts=1, path=str(path), stubborn=stubborn, helper=True)
        await until(lambda: path.exists() and len(path.read_text().split()) == 2)
        pids = [int(pid) for pid in path.read_text().split()]
        (held,) = stage.worker._held.values()
        stage.worker._cancel(held, "timeout")
        await stage.came_to("dead")
        failure = await stage.failure()
        await until(lambda: not any(map(alive, pids)))
    assert failure["error_class"] == "TimeoutError"
    assert (tmp_path / "pids.cleaned").exists() is not stubborn, "finally blocks run unless the job ignores SIGTERM"


async def test_a_drain_ends_the_child_and_returns_the_job(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    async with working(JOBS["hangs"], grace=0.1) as stage:
        await stage.enqueue("hangs", path=str(path))
        await until(path.exists)
        await stage.ended()
    assert await stage.states() == ["ready"]
    await until(lambda: not alive(int(path.read_text())))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_children_end_with_their_worker(number: int, tmp_path: Path) -> None:
    script = Path(__file__).with_name("process_worker.py")
    path = tmp_path / "pids"
    process = subprocess.Popen([sys.executable, str(script), str(path)], cwd=Path(__file__).parents[2])
    try:
        await until(lambda: path.exists() and path.read_text() != "")
        pid = int(path.read_text())
        assert alive(pid)
        process.send_signal(number)
        await until(lambda: process.poll() is not None and not alive(pid))
    finally:
        process.kill()
        process.wait()


async def test_a_busy_child_ends_when_the_worker_lets_go_of_it(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    spec = JOBS["hangs"]
    child = await Child.start()
    claimed = ClaimedJob(1, 1, "work", "hangs", b"{}", 1, 1, 0.0)
    arguments = msgspec.json.encode({"path": str(path)})
    calling = asyncio.create_task(
        child.call(Call(spec.function.__module__, "hangs", arguments, claimed, {"job_id": 1}))
    )
    try:
        await until(lambda: path.exists() and path.read_text() != "")
        child._writer.close()
        await until(lambda: not alive(int(path.read_text())))
        with pytest.raises(JobProcessDied, match="ended by itself with exit code 0"):
            await calling
    finally:
        await child.kill()


def test_what_a_child_cannot_find_is_refused() -> None:
    queue = Service("shop").queue("work")
    with pytest.raises(DeclarationError, match="top level of its module"):

        @queue.job(process=True)
        def nested() -> None: ...

    with pytest.raises(DeclarationError, match="plain `def`"):

        @queue.job(process=True)
        async def asynchronous() -> None: ...

    with pytest.raises(LookupError, match="no job 'gone'"):
        find(process_jobs, "gone", "gone")
    assert find(process_jobs, "renamed", "note") is process_jobs.note.spec
