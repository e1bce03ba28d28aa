"""`roadworthy emit` as people run it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from roadworthy.cli.main import main

DECLARATION = """\
from roadworthy import Service, minutes, shared
service = Service("shop")
service.edge("GET /", shared(edge=minutes(5)))
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delitem(sys.modules, "shop", raising=False)
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
    changed = [file["path"] for file in report["files"] if file["state"] == "changed"]
    assert changed == ["varnish/default.vcl"]
    assert (tmp_path / "deploy/varnish/default.vcl").read_text() == written
    assert main(["emit", target, "--to", to]) == 0
    assert main(["emit", target, "--to", to, "--check"]) == 0


def test_notes_in_a_runbook_outlive_another_emission(target: str, tmp_path: Path) -> None:
    to = tmp_path / "deploy"
    assert main(["emit", target, "--to", str(to)]) == 0
    page = to / "runbooks/shop/TargetDown.md"
    page.write_text(page.read_text().replace("## What to do first", "## What to do last") + "Ask Anna first.\n")
    assert main(["emit", target, "--to", str(to), "--check"]) == 1
    assert main(["emit", target, "--to", str(to)]) == 0
    assert "## What to do first" in page.read_text()
    assert page.read_text().endswith("Ask Anna first.\n")
    assert main(["emit", target, "--to", str(to), "--check"]) == 0


def test_who_is_told_is_said_on_the_command_line(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "deploy"
    mail = ["--mail-to", "shop@example.org", "--mail-from", "alerts@example.org"]
    assert main(["emit", target, "--to", str(to), *mail]) == 2
    assert "--mail-server" in capsys.readouterr().err
    assert not to.exists()
    mail += ["--mail-server", "mail:25"]
    assert main(["emit", target, "--to", str(to), *mail, "--channel", "#shop"]) == 0
    written = (to / "alertmanager/alertmanager.yml").read_text()
    assert '"shop@example.org"' in written
    assert '"#shop"' in written
    assert "require_tls" not in written
    elsewhere = ["--mail-without-tls", "--pagerduty-url", "https://pages.example.org/"]
    assert main(["emit", target, "--to", str(to), *mail, *elsewhere, "--prometheus", "127.0.0.1:9091"]) == 0
    written = (to / "alertmanager/alertmanager.yml").read_text()
    assert "require_tls: false" in written
    assert 'url: "https://pages.example.org/"' in written
    assert "127.0.0.1:9091" in (to / "prometheus/prometheus.yml").read_text()


@pytest.mark.parametrize(
    "options", [["--origin", "host"], ["--origin", "a:0"], ["--purger", "everybody"], ["--scrape", "host"], []]
)
def test_bad_usage(target: str, options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["emit", target, *(["--to", "x"] if options else []), *options])
    assert ended.value.code == 2
