"""`roadworthy jobs` and `migrate` on a real database, in this process."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import roadworthy
from roadworthy import Service, days
from roadworthy.binding import Binding
from roadworthy.cli.main import main
from roadworthy.jobs.engine import Bury, Failure
from roadworthy.runtime.lifecycle import opened
from roadworthy.runtime.scratch import ScratchServer

DECLARATION = """
from roadworthy import Service
service = Service("shop")
mail = service.queue("mail")

@mail.job()
async def send(to: str) -> None: ...
"""
TARGET = "shop_for_the_command_line:service"
LIBRARY = Path(roadworthy.__file__).parent


@pytest.fixture
def dsn(postgres_server: ScratchServer) -> Iterator[str]:
    """A database for tests that run event loops of their own."""
    dsn = asyncio.run(postgres_server.create_database())
    yield dsn
    asyncio.run(postgres_server.drop_database(dsn))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", dsn)
    (tmp_path / "shop_for_the_command_line.py").write_text(DECLARATION)
    yield
    sys.modules.pop("shop_for_the_command_line", None)


@pytest.fixture
def migrated() -> None:
    assert main(["migrate", TARGET]) == 0


Output = Callable[[], str]


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    return lambda: capsys.readouterr().out


def on(dsn: str, act: Callable[[Service, Binding], Awaitable[None]]) -> None:
    """Do something with the service's jobs."""

    async def run() -> None:
        service = sys.modules["shop_for_the_command_line"].service
        async with opened(service.spec, dsn) as binding, service.bind(binding):
            await act(service, binding)

    asyncio.run(run())


@pytest.fixture
def dead(migrated: None, dsn: str, output: Output) -> list[int]:
    """Three dead jobs, beside one that waits for tomorrow."""

    async def act(service: Service, binding: Binding) -> None:
        send = sys.modules["shop_for_the_command_line"].send
        await send.enqueue_many([{"to": name} for name in "abc"])
        jobs = await binding.engine.claim("mail", limit=10, lease=days(1), worker="test")
        failure = Failure("ValueError", "no such address", "Traceback: line 1\n")
        await binding.engine.complete([Bury(job.id, job.lease, failure) for job in jobs])
        await send.with_options(delay=days(1)).enqueue(to="later")

    on(dsn, act)
    output()
    assert main(["jobs", "list", "--state", "dead", "--json"]) == 0
    return [job["id"] for job in json.loads(output())["jobs"]]


def test_migrate_tells_what_is_pending_applies_it_and_then_has_nothing_to_do(output: Output) -> None:
    names = [
        f"roadworthy.{part} {path.stem}"
        for part in ("jobs", "cache", "limits", "security", "activity")
        for path in sorted((LIBRARY / part / "migrations").glob("*.sql"))
    ]
    assert main(["migrate", TARGET, "--dry-run"]) == 0
    listed = "".join(f"pending  {name}\n" for name in names)
    assert output() == f"{listed}{len(names)} to apply\n"
    assert main(["migrate", TARGET, "--dry-run", "--json"]) == 0
    pending = json.loads(output())["migrations"]
    assert pending[0] == {"set": "roadworthy.jobs", "version": 1, "name": "jobs"}
    assert len(pending) == len(names)
    assert main(["migrate", TARGET]) == 0
    assert output() == f"applied {len(names)}\n"
    assert main(["migrate", TARGET, "--json"]) == 0
    assert json.loads(output()) == {"dry_run": False, "migrations": []}
    assert main(["migrate", TARGET, "--dry-run"]) == 0
    assert output() == "nothing to apply\n"


def test_a_database_that_was_never_migrated_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "counts"]) == 2
    assert "run `roadworthy migrate` first" in capsys.readouterr().err


def test_without_a_database_the_ways_to_one_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("ROADWORTHY_DATA_DIR", "nothing/here")
    assert main(["jobs", "counts"]) == 2
    assert "there is no nothing/here; set it" in capsys.readouterr().err


@pytest.mark.usefixtures("migrated")
def test_an_empty_database_has_nothing_to_show(output: Output) -> None:
    output()
    assert main(["jobs", "list"]) == 0
    assert output() == "no job matches\n"
    assert main(["jobs", "counts"]) == 0
    assert output() == "no queue holds a job\n"


@pytest.mark.usefixtures("dead")
def test_counts_and_lists_are_tables(output: Output) -> None:
    assert main(["jobs", "counts"]) == 0
    header, row = output().splitlines()
    assert header.split() == ["QUEUE", "SCHEDULED", "READY", "RUNNING", "BLOCKED", "HELD", "DEAD", "OLDEST", "READY"]
    assert row.split() == ["mail", "1", "0", "0", "0", "0", "3", "-"]
    assert main(["jobs", "counts", "--json"]) == 0
    assert json.loads(output())["queues"][0]["dead"] == 3
    assert main(["jobs", "list", "--queue", "mail", "--job", "send", "--limit", "2"]) == 0
    assert len(output().splitlines()) == 3


@pytest.mark.usefixtures("migrated")
def test_schedules_are_told_with_their_next_fire_times(dsn: str, output: Output) -> None:
    output()
    assert main(["jobs", "schedules"]) == 0
    assert len(output().splitlines()) == 1, "there is none"

    async def act(_service: Service, binding: Binding) -> None:
        now = await binding.engine.now()
        await binding.engine.note_schedule("nightly", "0 3 * * * Europe/Berlin", now)
        await binding.engine.note_schedule("elsewhere", "0 3 * * * Mars/Olympus", now)

    on(dsn, act)
    assert main(["jobs", "schedules"]) == 0
    header, nightly, elsewhere = output().splitlines()
    assert header.split() == ["NEXT", "FIRE", "SCHEDULE", "WHEN", "LAST", "FIRE", "SEEN"]
    assert " 03:00:00+0" in nightly
    assert "0 3 * * * Europe/Berlin" in nightly
    assert elsewhere.startswith("unknown time zone")
    assert main(["jobs", "schedules", "--json"]) == 0
    assert [one["schedule"] for one in json.loads(output())["schedules"]] == ["nightly", "elsewhere"]


def test_a_job_is_shown_with_its_failures(dead: list[int], output: Output) -> None:
    assert main(["jobs", "show", str(dead[0])]) == 0
    shown = output()
    assert f"send {dead[0]}\n" in shown
    assert '"to":"c"' in shown.replace(" ", "")
    assert "ValueError" in shown
    assert "  no such address\n  Traceback: line 1\n" in shown
    assert main(["jobs", "show", str(dead[0]), "--json"]) == 0
    assert json.loads(output())["arguments"] == {"to": "c"}


@pytest.mark.usefixtures("migrated")
def test_a_job_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "show", "999"]) == 2
    assert "no job has the id 999" in capsys.readouterr().err


def test_dead_jobs_are_retried_by_id(dead: list[int], output: Output) -> None:
    assert main(["jobs", "retry", str(dead[0])]) == 0
    assert output() == "1 job ready again\n"
    assert main(["jobs", "retry", str(dead[0]), str(dead[1])]) == 1
    assert output() == "1 job ready again\n"


def test_all_dead_jobs_are_changed_only_when_confirmed(
    dead: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["jobs", "discard", "--all"]) == 2
    assert "3 dead jobs would be affected; add --yes" in capsys.readouterr().err
    person, terminal = os.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        os.write(person, b"no\n\x04y\n")
        assert main(["jobs", "discard", "--all", "--job", "send"]) == 1
        assert main(["jobs", "discard", "--all"]) == 1
        capsys.readouterr()
        assert main(["jobs", "retry", "--all", "--queue", "mail"]) == 0
        assert capsys.readouterr() == ("3 jobs ready again\n", "retry 3 dead jobs? [y/N] ")
    os.close(person)
    assert main(["jobs", "discard", "--all", "--yes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["asked"], told["changed"], told["conflicts"], told["gone"]) == (0, 0, 0, 0)
    assert dead


@pytest.mark.usefixtures("migrated")
@pytest.mark.parametrize("arguments", [[], ["7", "--all"], ["7", "--queue", "mail"]])
def test_what_to_change_must_be_clear(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "retry", *arguments]) == 2
    assert "name the jobs by id, or narrow them" in capsys.readouterr().err
