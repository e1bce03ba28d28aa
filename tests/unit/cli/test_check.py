from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadworthy.cli.main import main

GOOD = """
from roadworthy import Service
service = Service("shop", owner="sales")
"""
TWICE = """
from roadworthy import Service
service = Service("shop")
first = service.queue("mail")
second = service.queue("mail")
"""


@pytest.fixture(autouse=True)
def forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_sound_declaration_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sound.py").write_text(GOOD)
    assert main(["check", "sound"]) == 0
    assert "no findings" in capsys.readouterr().out


def test_a_refused_declaration_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "twice.py").write_text(TWICE)
    assert main(["check", "twice"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("twice.py:5\n  RW001 error: queue 'mail' is already declared")
    assert main(["check", "twice", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert document["findings"][0]["rule"] == "RW001"
