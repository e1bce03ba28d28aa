"""What was emitted and would not be any more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from roadworthy.cli.main import main
from roadworthy.cli.stale import list_name

ALERT = 'service.alert("Rain", expr="sum(rate(rain_total[5m])) > 1", severity="warning", runbook="Umbrella.")\n'
COUNTER = 'service.counter("rain_total", "Drops.")\n'


class Directory:
    """A directory that a changing declaration is emitted to."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.to = path / "deploy"
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def emit(self, *lines: str, name: str = "shop", check: bool = False) -> tuple[int, dict[str, str]]:
        """Emit a service with these lines; return the exit code, and each file's state that is not unchanged."""
        self._monkeypatch.delitem(sys.modules, name, raising=False)
        declared = f'from roadworthy import Service\nservice = Service("{name}")\n'
        (self.path / f"{name}.py").write_text(declared + "".join(lines))
        self._capsys.readouterr()
        options = ["--check"] if check else []
        target = f"{self.path / name}.py:service"
        code = main(["emit", target, "--to", str(self.to), "--json", *options])
        files = json.loads(self._capsys.readouterr().out)["files"]
        return code, {file["path"]: file["state"] for file in files if file["state"] != "unchanged"}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Directory:
    return Directory(tmp_path, monkeypatch, capsys)


GONE = {"runbooks/shop/Rain.md": "stale", "grafana/dashboards/shop/business.json": "stale"}


def test_what_a_declaration_no_longer_gives_is_told_and_then_removed(directory: Directory) -> None:
    assert directory.emit(COUNTER, ALERT)[0] == 0
    code, states = directory.emit(check=True)
    assert code == 1
    assert GONE.items() <= states.items()
    assert (directory.to / "runbooks/shop/Rain.md").is_file()
    code, states = directory.emit()
    assert code == 0
    assert GONE.items() <= states.items()
    assert not any((directory.to / path).exists() for path in GONE)
    assert directory.emit(check=True) == (0, {})


def test_a_directory_that_is_empty_without_the_file_is_removed_with_it(directory: Directory) -> None:
    directory.emit()
    other = directory.to / "varnish"
    listed = directory.to / list_name("shop")
    other.mkdir(exist_ok=True)
    (other / "old.vcl").write_text("")
    listed.write_text(listed.read_text() + "varnish/old.vcl\n")
    directory.emit()
    assert not other.exists()


def test_notes_of_people_are_not_thrown_away(directory: Directory) -> None:
    directory.emit(COUNTER, ALERT)
    page = directory.to / "runbooks/shop/Rain.md"
    page.write_text(page.read_text() + "Anna has the umbrella.\n")
    for check in (True, False, True):
        code, states = directory.emit(COUNTER, check=check)
        assert code == int(check)
        assert states["runbooks/shop/Rain.md"] == "kept"
        assert page.read_text().endswith("umbrella.\n")
    page.unlink()
    assert directory.emit(COUNTER)[0] == 0
    assert directory.emit(COUNTER, check=True) == (0, {})


def test_files_of_peoples_own_and_of_other_services_stay(directory: Directory) -> None:
    directory.emit(COUNTER, ALERT)
    directory.emit(COUNTER, ALERT, name="market")
    own = directory.to / "runbooks/shop/Own.md"
    own.write_text("# Own\n")
    listed = directory.to / list_name("shop")
    listed.write_text(listed.read_text() + "runbooks/market/Rain.md\n")
    assert directory.emit()[0] == 0
    assert own.is_file()
    assert (directory.to / "runbooks/market/Rain.md").is_file()
    assert (directory.to / "grafana/dashboards/market/business.json").is_file()


@pytest.mark.parametrize("path", ["../precious", "/{}/precious", "runbooks/../../precious"])
def test_nothing_outside_of_the_directory_is_removed_whatever_the_list_says(directory: Directory, path: str) -> None:
    directory.emit()
    precious = directory.path / "precious"
    precious.write_text("gold")
    listed = directory.to / list_name("shop")
    listed.write_text(listed.read_text() + path.format(directory.path) + "\n")
    directory.emit()
    assert precious.is_file()


def test_the_last_line_counts_what_was_done(directory: Directory, capsys: pytest.CaptureFixture[str]) -> None:
    directory.emit(COUNTER, ALERT)
    (directory.to / "runbooks/shop/Rain.md").unlink()
    assert main(["emit", f"{directory.path / 'shop.py'}:service", "--to", str(directory.to)]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.endswith(f"in {directory.to}")
    assert "1 written" in last
    assert "unchanged" in last
