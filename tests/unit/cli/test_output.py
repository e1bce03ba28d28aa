from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime

import pytest

from roadworthy.cli import output


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((30, 24)))


def test_a_table_is_aligned_and_whole_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("NAME", "COUNT", "WHAT"), [("a", 7, "x" * 40), ("long name", 1234, "y")], right=("COUNT",))
    assert capsys.readouterr().out.splitlines() == [
        "NAME       COUNT  WHAT",
        f"a              7  {'x' * 40}",
        "long name   1234  y",
    ]


def test_a_terminal_gets_its_width_and_bold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_terminal(monkeypatch)
    output.print_table(("NAME", "WHAT"), [("a", "x" * 40)])
    header, row = capsys.readouterr().out.splitlines()
    assert header == "\x1b[1mNAME  WHAT\x1b[0m"
    assert row == f"a     {'x' * 23}…"


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_terminal(monkeypatch)
    assert output.styled("no", "red") == "\x1b[31mno\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.styled("no", "red") == "no"


def test_json_is_indented_and_sorted(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"b": datetime(2026, 1, 2, tzinfo=UTC), "a": [1]})
    assert capsys.readouterr().out.startswith('{\n  "a": [\n    1\n  ],\n  "b": "2026-01-02T00:00:00Z"')
