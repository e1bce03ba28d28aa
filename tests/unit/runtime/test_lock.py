"""One owner for a data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roadworthy.errors import AlreadyRunning
from roadworthy.runtime.lock import DirectoryLock


def test_a_lock_names_its_holder(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    first.acquire()
    with pytest.raises(AlreadyRunning, match=f"in use by process {os.getpid()}\\. Use that one"):
        second.acquire()
    first.publish("http://127.0.0.1:8000")
    first.publish("http://[::1]:1")
    with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()} at http://\[::1\]:1\. Use"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_a_holder_that_has_not_said_who_it_is(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path)
    first.acquire()
    (tmp_path / "lock").write_text("")
    with pytest.raises(AlreadyRunning, match="a process that is just starting"):
        DirectoryLock(tmp_path).acquire()
    first.release()


def test_only_the_holder_publishes(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="call acquire"):
        DirectoryLock(tmp_path).publish("x")
