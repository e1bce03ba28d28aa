"""Becoming another program, tied to the parent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from roadworthy.runtime import launch


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    made: list[tuple[Any, ...]] = []
    for name in ("setgroups", "setgid", "setuid", "execv"):
        monkeypatch.setattr(os, name, lambda *arguments, name=name: made.append((name, *arguments)))
    monkeypatch.setattr(launch, "_call", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(Path, "write_text", lambda path, text: made.append((str(path), text)))
    return made


def test_the_user_changes_before_the_death_signal_is_asked_for(calls: list[tuple[Any, ...]]) -> None:
    launch.main([str(os.getppid()), "3", "user:12:34", "/bin/server", "-D", "data"])
    death = [("prctl", 1, 3, 0, 0, 0)] if sys.platform == "linux" else []
    assert calls == [
        ("setgroups", []),
        ("setgid", 34),
        ("setuid", 12),
        *death,
        ("execv", "/bin/server", ["/bin/server", "-D", "data"]),
    ]


def test_a_mapped_user_keeps_the_rights_outside(calls: list[tuple[Any, ...]]) -> None:
    launch.become("mapped:12:34")
    assert calls == [
        ("unshare", 0x10000000),
        ("/proc/self/setgroups", "deny"),
        ("/proc/self/uid_map", f"12 {os.geteuid()} 1"),
        ("/proc/self/gid_map", f"34 {os.getegid()} 1"),
    ]


def test_the_same_user_changes_nothing(calls: list[tuple[Any, ...]]) -> None:
    launch.become("same")
    assert calls == []


@pytest.mark.usefixtures("calls")
def test_a_parent_that_died_first_ends_it_at_once() -> None:
    with pytest.raises(SystemExit, match=r"process 1234567, .* is gone"):
        launch.die_with(1234567, 3)


def test_a_refused_call_is_an_oserror() -> None:
    with pytest.raises(OSError, match="prctl"):
        launch._call("prctl", -1, 0, 0, 0, 0)


def test_the_script_runs_with_the_standard_library_alone() -> None:
    command = [sys.executable, "-I", "-S", str(launch.__file__), str(os.getpid()), "9", "same", "/bin/echo", "ready"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout == "ready\n"
