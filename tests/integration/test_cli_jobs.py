"""What `roadworthy jobs` does to jobs, on a real database, in this process; and its live view in a real terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from roadworthy.cli.main import main
from roadworthy.database.pool import Pool
from roadworthy.database.spec import DatabaseSpec
from roadworthy.jobs.engine import Bury, Failure, NewJob
from roadworthy.jobs.postgres import PostgresEngine
from roadworthy.jobs.workers import LongJob, QueueReport, WorkerName, WorkerReport
from roadworthy.runtime.scratch import ScratchServer
from schema import create_job_tables

DECLARATION = """
from roadworthy import Service
service = Service("shop")
mail = service.queue("mail")

@mail.job(unique="{user}")
async def send(user: int, note: str = "") -> None: ...
"""
LEASE = timedelta(minutes=1)

Act = Callable[[PostgresEngine], Awaitable[Any]]
Json = Callable[..., Any]


@pytest.fixture
def dsn(postgres_server: ScratchServer) -> Iterator[str]:
    dsn = asyncio.run(postgres_server.create_database())
    yield dsn
    asyncio.run(postgres_server.drop_database(dsn))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", dsn)
    (tmp_path / "shop_of_jobs.py").write_text(DECLARATION)

    async def migrate() -> None:
        async with await Pool.open(dsn, DatabaseSpec("main", pool=(1, 1))) as pool:
            await create_job_tables(pool)

    asyncio.run(migrate())
    yield
    sys.modules.pop("shop_of_jobs", None)


@pytest.fixture
def on(dsn: str) -> Callable[[Act], Any]:
    """Do something with the engine."""

    def run(act: Act) -> Any:
        async def opened() -> Any:
            async with await Pool.open(dsn, DatabaseSpec("main", pool=(1, 2))) as pool:
                engine = PostgresEngine(pool, dsn)
                try:
                    return await act(engine)
                finally:
                    await engine.close()

        return asyncio.run(opened())

    return run


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Json:
    """Run `roadworthy jobs ... --json` and return its document, its exit code checked."""

    def run(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main(["jobs", *arguments, "--json"]) == code, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def dead(on: Callable[[Act], Any]) -> list[int]:
    """Dead jobs of two kinds, the ids of those called `send` first."""

    async def act(engine: PostgresEngine) -> list[int]:
        jobs = [NewJob("mail", "send", b'{"user":%d}' % n, 1) for n in range(3)]
        ids = await engine.enqueue([*jobs, NewJob("mail", "sweep", b'{"tag":"x"}', 1)])
        for job in await engine.claim("mail", limit=9, lease=LEASE, worker="worker-1"):
            kind = "smtp.Refused" if job.job == "send" else "KeyError"
            await engine.complete([Bury(job.id, job.lease, Failure(kind, f"no {job.job}", "Traceback"))])
        return [id for id in ids if id is not None]

    found: list[int] = on(act)
    return found


def test_groups_tell_what_died(dead: list[int], say: Json, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = say("groups")["groups"]
    assert (first["count"], first["job"], first["error_class"], first["example"]) == (
        3,
        "send",
        "smtp.Refused",
        dead[2],
    )
    assert (second["count"], second["job"], second["message"]) == (1, "sweep", "no sweep")
    assert say("groups", "--error", "Refused", "--died-before", "1h") == {"groups": []}
    assert len(say("groups", "--died-after", "1h", "--where", "$.user >= 0")["groups"]) == 1
    assert main(["jobs", "groups", "--message", "sweep"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["COUNT", "QUEUE", "JOB", "ERROR", "FIRST", "LAST", "EXAMPLE", "MESSAGE"]
    assert row.split()[:4] == ["1", "mail", "sweep", "KeyError"]
    assert main(["jobs", "groups", "--queue", "none"]) == 0
    assert capsys.readouterr().out == "no dead job matches\n"


def test_a_filter_chooses_what_is_retried(dead: list[int], say: Json) -> None:
    told = say("retry", "--argument", "user=1", "--yes", "--as", "ann", "--reason", "mended")
    assert (told["asked"], told["changed"], told["conflicts"], told["gone"]) == (1, 1, 0, 0)
    assert [job["id"] for job in say("list", "--state", "ready")["jobs"]] == [dead[1]]
    assert say("retry", "--where", "$.user == 0", "--expect", "1", "--at-most", "1")["changed"] == 1
    assert say("discard", "--argument", "tag=x", "--yes")["changed"] == 1
    assert [job["id"] for job in say("list", "--state", "dead")["jobs"]] == [dead[2]]
    last, _, first = say("audit")["audit"]
    assert (first["who"], first["action"], first["reason"], first["filter"]) == (
        "ann",
        "retry",
        "mended",
        {"arguments": {"user": 1}},
    )
    assert re.fullmatch(r".+@.+", last["who"])
    assert last["finished_at"]


def test_a_rate_lets_them_come_back_one_after_the_other(
    dead: list[int], say: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["jobs", "retry", "--job", "send", "--per-second", "0.01", "--yes"]) == 0
    assert capsys.readouterr().out == "3 jobs will be ready within 300 s\n"
    assert [job["id"] for job in say("list", "--state", "scheduled")["jobs"]] == sorted(dead[:3], reverse=True)


def test_what_was_interrupted_is_told_and_gone_on_with(
    dead: list[int], on: Callable[[Act], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    from roadworthy.jobs.dead_letters import DeadFilter

    async def interrupted(engine: PostgresEngine) -> None:
        letters = engine.dead_letters
        chosen = await letters.choose(DeadFilter(job="send"))
        begun = await letters.begin("retry", chosen, who="ann", reason=None, per_second=None)
        await letters.proceed(begun.id, limit=1)

    on(interrupted)
    assert main(["jobs", "audit"]) == 0
    assert "interrupted" in capsys.readouterr().out
    assert main(["jobs", "retry", "--job", "send"]) == 2
    said = capsys.readouterr().err
    assert "of ann" in said
    assert "was interrupted after 1 of 3 jobs" in said
    assert "the other 2 dead jobs would be affected" in said
    assert main(["jobs", "retry", "--job", "send", "--yes"]) == 0
    assert capsys.readouterr().out == "3 jobs ready again\n"
    on(interrupted)
    assert main(["jobs", "retry", "--job", "send", "--yes", "--afresh"]) == 0
    assert capsys.readouterr().out == "0 jobs ready again\n"
    assert dead


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["retry", "--job", "send", "--expect", "2"], 1, "3 dead jobs match, not 2; nothing was changed"),
        (["retry", "--where", "$.user ==", "--yes"], 2, "no predicate in SQL/JSON path language"),
        (["retry", "--job", "send"], 2, "add --yes to retry them, or --expect with their number"),
        (["show", "9999"], 2, "no job has the id 9999"),
        (["resume", "mail"], 1, "mail is not paused"),
        (["cancel", "9999"], 1, "1 job not found, or dead"),
        (["top"], 2, "add --once or --json"),
        (["enqueue", "sned", "--service", "shop_of_jobs:service"], 2, "declares no job 'sned'; did you mean 'send'?"),
        (["enqueue", "send", "--service", "shop_of_jobs:service"], 2, "missing a required argument: 'user'"),
        (["enqueue", "send", "--arguments", "[1]", "--service", "shop_of_jobs:service"], 2, "is no JSON object"),
        (["enqueue", "send", "--arguments", "{", "--service", "shop_of_jobs:service"], 2, "is no JSON:"),
        (
            ["enqueue", "send", "--arguments", '{"user": "x"}', "--service", "shop_of_jobs:service"],
            2,
            "Expected `int`, got `str`",
        ),
        (
            [
                "enqueue",
                "send",
                "--arguments",
                '{"user": 1}',
                "--priority",
                "99999",
                "--service",
                "shop_of_jobs:service",
            ],
            2,
            "does not fit",
        ),
    ],
)
def test_a_refusal_names_the_fix(
    dead: list[int], arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["jobs", *arguments]) == code
    assert message in capsys.readouterr().err
    assert main(["jobs", "list", "--state", "dead", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["jobs"]) == len(dead)


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry", "--died-after", "yesterday"],
        ["retry", "--argument", "user"],
        ["retry", "--per-second", "0"],
        ["enqueue", "send", "--delay", "soon"],
        ["top", "--interval", "0"],
    ],
)
def test_bad_usage_says_what_would_be_good(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["jobs", *arguments])
    assert ended.value.code == 2
    assert "is no" in capsys.readouterr().err.replace("neither", "no")


def test_a_job_is_added_once_its_arguments_fit(say: Json, capsys: pytest.CaptureFixture[str]) -> None:
    service = ("--service", "shop_of_jobs:service")
    added = say("enqueue", "send", "--arguments", '{"user": 7}', "--priority", "-3", "--delay", "1h", *service)
    (job,) = say("list")["jobs"]
    assert (job["id"], job["state"], job["priority"], job["unique_key"]) == (added["id"], "scheduled", -3, "[7]")
    assert job["arguments"] == {"user": 7, "note": ""}
    assert main(["jobs", "enqueue", "send", "--arguments", '{"user": 7}', *service]) == 1
    assert "with the same unique key waits or runs already" in capsys.readouterr().err
    assert main(["jobs", "enqueue", "send", "--arguments", '{"user": 8}', *service]) == 0
    assert re.fullmatch(r"send \d+ added to mail\n", capsys.readouterr().out)
    assert [entry["changed"] for entry in say("audit")["audit"]] == [1, 0, 1]


def test_jobs_that_wait_are_discarded_and_cancelled(dead: list[int], say: Json) -> None:
    say("retry", *map(str, dead))
    told = say("discard", str(dead[0]), "9999", code=1)
    assert told == {"asked": 2, "changed": 1}
    assert say("cancel", str(dead[1])) == {"asked": 1, "ended": 1, "running": 0}
    assert [job["id"] for job in say("list")["jobs"]] == sorted(dead[2:], reverse=True)
    assert [entry["action"] for entry in say("audit")["audit"]] == ["cancel", "discard", "retry"]
    assert say("list", "--before", str(dead[3]))["jobs"][0]["id"] == dead[2]


def test_a_pause_is_told_and_ends(say: Json, capsys: pytest.CaptureFixture[str]) -> None:
    assert say("pause", "mail", "--as", "ann", "--reason", "too much") == {"changed": True}
    assert say("pause", "mail", code=1) == {"changed": False}
    assert say("pause", "mail", "--job", "send") == {"changed": True}
    whole, one = say("pauses")["pauses"]
    assert (whole["queue"], whole["job"], whole["by"], whole["reason"]) == ("mail", None, "ann", "too much")
    assert one["job"] == "send"
    assert main(["jobs", "pauses"]) == 0
    assert "(all)" in capsys.readouterr().out
    assert say("resume", "mail") == {"changed": True}
    assert main(["jobs", "resume", "mail", "--job", "send"]) == 0
    assert capsys.readouterr().out == "send in mail goes on\n"
    assert main(["jobs", "pauses"]) == 0
    assert capsys.readouterr().out == "nothing is paused\n"
    assert main(["jobs", "pause", "mial"]) == 0
    assert "no job and no worker is in a queue 'mial'" in capsys.readouterr().err


@pytest.fixture
def working(on: Callable[[Act], Any], dead: list[int]) -> int:
    """A worker that tells of itself, one that stalled, and two jobs that wait; return the id of one that runs."""

    async def act(engine: PostgresEngine) -> int:
        ids = await engine.enqueue([NewJob("mail", "send", b'{"user":9}', 1) for _ in range(3)])
        await engine.claim("mail", limit=1, lease=LEASE, worker="worker-mail-1")
        queue = QueueReport(10, 1, 0, 0, {"succeeded": 20, "dead": 5}, [1] * 17, [0] * 8 + [1] * 9)
        running = LongJob(ids[0] or 0, "mail", "send", 1, 65.0)
        report = WorkerReport({"mail": queue}, 5.0, [running])
        await engine.report_worker(WorkerName("worker-mail-1", "here", 7), report, up=LEASE, consumes=True)
        await engine.report_worker(WorkerName("worker-mail-2", "here", 8), report, up=LEASE, consumes=False)
        return running.id

    found: int = on(act)
    return found


def test_workers_tell_what_they_hold(working: int, say: Json, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = say("workers", code=1)["workers"]
    assert (first["name"], first["state"], second["state"]) == ("worker-mail-1", "working", "stalled")
    assert first["report"]["longest"][0]["id"] == working
    assert main(["jobs", "workers"]) == 1
    assert "01:05" in capsys.readouterr().out


def test_top_once_is_for_scripts(working: int, say: Json, capsys: pytest.CaptureFixture[str]) -> None:
    told = say("top")
    (mail,) = told["queues"]
    assert (mail["ready"], mail["running"], mail["dead"], mail["workers"], mail["slots"]) == (2, 1, 4, 1, 20)
    assert (mail["per_second"], mail["failures_per_second"]) == (10.0, 2.0)
    assert mail["run_p50"] == pytest.approx(1.75)
    assert {job["id"] for job in told["longest"]} == {working}
    assert [worker["state"] for worker in told["workers"]] == ["working", "stalled"]
    assert main(["jobs", "top", "--once"]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "10.0 done/s" in printed


def test_a_glance_reads_no_job_where_it_does_not_count(on: Callable[[Act], Any], working: int) -> None:
    async def act(engine: PostgresEngine) -> list[str]:
        pool = engine.operations._pool
        found = []
        for count in (False, True):
            rows = await pool.fetch(
                f"EXPLAIN (ANALYZE, COSTS OFF) {engine.operations._sql['overview']}".replace("$1", str(count).lower())
            )
            found.append("\n".join(row[0] for row in rows))
        return found

    without, counted = on(act)
    assert "on jobs" in counted
    assert "on jobs" not in without or "never executed" in without


class Screen:
    """`roadworthy jobs top` in a pseudo-terminal."""

    def __init__(self, *arguments: str, size: tuple[int, int] = (24, 160)) -> None:
        self.controller, terminal = pty.openpty()
        self.resize(size)
        self.before = termios.tcgetattr(terminal)
        self.terminal = terminal
        self.process = subprocess.Popen(
            [sys.executable, "-m", "roadworthy", "jobs", "top", "--interval", "0.2", *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.shown = ""

    def resize(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self.controller, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.controller, keys.encode())

    def until(self, pattern: str, seconds: float = 60.0) -> None:
        """Read until what was shown after the last call matches."""
        deadline, seen = time.monotonic() + seconds, ""
        while not re.search(pattern, seen, re.DOTALL):
            assert time.monotonic() < deadline, f"{pattern!r} is not in {seen!r}"
            if select.select([self.controller], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    seen += os.read(self.controller, 65536).decode()
        self.shown += seen

    def until_fits(self, height: int, width: int) -> None:
        """Read until a frame has at most so many lines of at most so many characters."""
        for _ in range(50):
            self.shown = ""
            self.until(r"\x1b\[H.*?\x1b\[J")
            frame = self.shown.split("\x1b[H", 1)[1].split("\x1b[J", 1)[0]
            lines = re.sub(r"\x1b\[[?\d]*[a-zA-Z]", "", frame).split("\r\n")
            if len(lines) <= height and all(len(line) <= width for line in lines):
                return
        raise AssertionError(f"no frame of {height} lines of {width}: {lines}")

    def ended(self) -> int:
        self.until(r"\x1b\[\?1049l")
        return self.process.wait(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.controller)
        os.close(self.terminal)


@pytest.fixture
def screen(working: int) -> Iterator[Screen]:
    opened = Screen()
    yield opened
    opened.close()


def local_modes(screen: Screen) -> Sequence[Any]:
    return termios.tcgetattr(screen.terminal)[:4]


def test_top_draws_resizes_and_gives_the_terminal_back(screen: Screen, on: Callable[[Act], Any]) -> None:
    screen.until(r"\x1b\[\?1049h.*1 working.*QUEUE +READY.*mail +2 +1.*worker-mail-2")
    assert local_modes(screen) != screen.before[:4], "keys are read one by one"

    async def enqueue(engine: PostgresEngine) -> None:
        await engine.enqueue([NewJob("mail", "send", b"{}", 1)])

    on(enqueue)
    screen.until(r"mail +3 +1")
    screen.resize((4, 60))
    screen.until_fits(4, 60)
    screen.type("q")
    assert screen.ended() == 0
    assert local_modes(screen) == screen.before[:4]


@pytest.mark.parametrize("way", ["key", "signal"])
def test_top_ends_by_ctrl_c_and_by_a_signal(screen: Screen, way: str) -> None:
    screen.until("QUEUE")
    if way == "key":
        screen.type("\x03")
    else:
        screen.process.send_signal(signal.SIGTERM)
    assert screen.ended() == 0
    assert local_modes(screen) == screen.before[:4]
