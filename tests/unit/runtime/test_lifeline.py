from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from roadworthy import hours
from roadworthy.runtime import lifeline

ORPHAN = """
import os, sys, threading, time
from roadworthy import seconds
from roadworthy.runtime import lifeline
lifeline.hold(0, lambda: print("lost", flush=True), seconds(0.1))
print("holding", flush=True)
time.sleep(600)
"""


def test_the_end_of_the_pipe_is_told_and_then_ends_the_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        process.stdin.close()
        assert process.stdout.readline() == "lost\n"
        assert process.wait(30) == lifeline.ORPHANED


def test_the_callback_runs_when_the_other_end_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: None)
    read, write = os.pipe()
    lifeline.hold(read, left.set, hours(0))
    assert not left.is_set()
    os.close(write)
    assert left.wait(30)
    for thread in threading.enumerate():
        if thread.name == "lifeline":
            thread.join(30)
    os.close(read)


def test_a_process_whose_parent_is_gone_ends_at_once() -> None:
    script = "from roadworthy.runtime.lifeline import die_with_parent; die_with_parent(1); print('still here')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert ended.returncode == lifeline.ORPHANED
    assert ended.stdout == b""


def test_a_process_whose_parent_lives_goes_on() -> None:
    script = f"from roadworthy.runtime.lifeline import die_with_parent; die_with_parent({os.getpid()}); print('here')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert ended.stdout == b"here\n"
