"""What an earlier PostgreSQL left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from roadworthy.runtime import postmaster

PATIENCE = timedelta(seconds=0.3)
STUBBORN = "import signal, time; signal.signal(signal.SIGQUIT, signal.SIG_IGN); print(flush=True); time.sleep(60)"


def write_pid_file(data: Path, pid: int, status: str = "ready") -> None:
    (data / "postmaster.pid").write_text(f"{pid}\n{data}\n1\n5432\n/run\n\n 123 456\n{status}   \n")


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process called postgres at work in `tmp_path` that does not quit when asked."""
    data = tmp_path / "data"
    data.mkdir()
    program = tmp_path / "postgres"
    shutil.copy(Path(sys.executable).resolve(), program)
    environment = {**os.environ, "PYTHONHOME": sys.base_prefix, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"}
    process = subprocess.Popen(
        [program, "-c", STUBBORN], cwd=data, env=environment, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait(10)
    process.stdout.close()


def test_a_server_is_ready_when_its_own_file_says_so(tmp_path: Path) -> None:
    assert not postmaster.is_ready(tmp_path, 1)
    write_pid_file(tmp_path, 77)
    assert postmaster.is_ready(tmp_path, 77)
    assert not postmaster.is_ready(tmp_path, 78)
    write_pid_file(tmp_path, 77, "starting")
    assert not postmaster.is_ready(tmp_path, 77)


async def test_nothing_is_left_of_a_directory_that_never_was(tmp_path: Path) -> None:
    await postmaster.clear(tmp_path / "none", patience=PATIENCE)
    assert postmaster.leftovers(tmp_path / "none") == []


async def test_a_pid_that_now_belongs_to_somebody_else_does_not_block(tmp_path: Path) -> None:
    write_pid_file(tmp_path, os.getppid())
    await postmaster.clear(tmp_path, patience=PATIENCE)
    lines = (tmp_path / "postmaster.pid").read_text().splitlines()
    assert lines[0] == str(os.getpid())
    assert lines[6].strip() == "123 456"


async def test_the_pid_of_a_dead_process_stays(tmp_path: Path) -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait(10)
    write_pid_file(tmp_path, gone.pid)
    await postmaster.clear(tmp_path, patience=PATIENCE)
    assert (tmp_path / "postmaster.pid").read_text().splitlines()[0] == str(gone.pid)


async def test_what_does_not_quit_is_killed(stubborn: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert postmaster.leftovers(tmp_path / "data") == [stubborn.pid]
    await postmaster.clear(tmp_path / "data", patience=PATIENCE)
    assert stubborn.wait(10) == -signal.SIGKILL


async def test_without_proc_the_pid_file_names_the_leftover(
    stubborn: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert postmaster.leftovers(data) == []
    write_pid_file(data, os.getpid())
    assert postmaster.leftovers(data) == []
    monkeypatch.setattr(postmaster, "_is_postgres_on", lambda where, pid: pid == stubborn.pid)
    write_pid_file(data, stubborn.pid)
    assert postmaster.leftovers(data) == [stubborn.pid]


def test_signals_to_the_dead_are_nothing_special() -> None:
    gone = subprocess.Popen(["/bin/true"])
    gone.wait(10)
    postmaster.kill([gone.pid], signal.SIGTERM)
