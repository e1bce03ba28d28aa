"""`roadworthy emit` as people run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from roadworthy.cli.main import main

DECLARATION = """\
from roadworthy import Service, minutes, shared
service = Service("shop")
service.edge("GET /", shared(edge=minutes(5)))
"""


@pytest.fixture
def target(tmp_path: Path) -> str:
    (tmp_path / "shop.py").write_text(DECLARATION + 'service.behind("varnish")\n')
    return f"{tmp_path / 'shop.py'}:service"


def test_files_are_written_once_and_then_compared(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = str(tmp_path / "deploy")
    assert main(["emit", target, "--to", to, "--check"]) == 1
    assert "missing" in capsys.readouterr().out
    assert main(["emit", target, "--to", to, "--origin", "[::1]:9000", "--purger", "10.0.0.8"]) == 0
    written = (tmp_path / "deploy/varnish/default.vcl").read_text()
    assert '.host = "::1";' in written
    assert '"10.0.0.8";' in written
    assert main(["emit", target, "--to", to, "--check", "--json"]) == 1
    report = json.loads(capsys.readouterr().out.partition("\n{")[2].join(("{", "")))
    assert report["files"] == [{"path": "varnish/default.vcl", "state": "changed"}]
    assert (tmp_path / "deploy/varnish/default.vcl").read_text() == written
    assert main(["emit", target, "--to", to]) == 0
    assert main(["emit", target, "--to", to, "--check"]) == 0


def test_a_service_that_is_behind_nothing_gets_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plain.py").write_text(DECLARATION)
    assert main(["emit", f"{tmp_path / 'plain.py'}:service", "--to", str(tmp_path / "deploy")]) == 0
    assert "service.behind('nginx')" in capsys.readouterr().out
    assert not (tmp_path / "deploy").exists()


@pytest.mark.parametrize("options", [["--origin", "host"], ["--origin", "a:0"], ["--purger", "everybody"], []])
def test_bad_usage(target: str, options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["emit", target, *(["--to", "x"] if options else []), *options])
    assert ended.value.code == 2
