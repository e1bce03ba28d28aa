from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from roadworthy.cli.main import main, parser

COMMANDS = ("run", "serve", "work", "schedule", "migrate", "check", "config", "jobs", "version")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), ("jobs", "list"), ("jobs", "retry")])
def test_help_teaches_by_examples(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"examples:\n  roadworthy {command[0] if command else 'run'}" in text or "ROADWORTHY_" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("arguments", [[], ["walk"], ["jobs"], ["run", "x", "--web", "0"], ["jobs", "show", "first"]])
def test_bad_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(arguments)
    assert ended.value.code == 2


def test_an_error_is_one_line_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nonesuch.module:service"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: there is no module 'nonesuch'")
    assert "Traceback" not in printed.err


def test_without_a_target_the_environment_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROADWORTHY_SERVICE", "nonesuch:service")
    assert main(["check"]) == 2
    assert "'nonesuch'" in capsys.readouterr().err
    monkeypatch.delenv("ROADWORTHY_SERVICE")
    assert main(["migrate"]) == 2
    assert "no service was named" in capsys.readouterr().err


def test_version_names_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("roadworthy ")
    assert main(["version", "--json"]) == 0
    assert "asyncpg" in json.loads(capsys.readouterr().out)["parts"]


def test_config_tells_values_sources_and_masks_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db/app")
    monkeypatch.setenv("ROADWORTHY_PROT", "1")
    assert main(["config"]) == 0
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out
    assert "did you mean ROADWORTHY_PORT" in printed.err
    assert main(["config", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    by_name = {setting["name"]: setting for setting in document["settings"]}
    assert by_name["DATABASE_URL"]["source"] == "environment"
    assert by_name["ROADWORTHY_OPERATIONS_PORT"]["value"] == "9100"
    assert "hunter2" not in str(document)


def test_config_tells_the_secrets_of_a_service_and_masks_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "shop_with_secrets.py").write_text(
        "from roadworthy import Service\n"
        "service = Service('shop')\n"
        "service.secret('SHOP_KEY', purpose='which links are signed with')\n"
        "service.secret('SHOP_WEAK')\n"
    )
    monkeypatch.setenv("SHOP_KEY", "8c1f0a96d2b74e35b0c4f7a1926e38d5")
    monkeypatch.setenv("SHOP_WEAK", "hunter2")
    assert main(["config", str(tmp_path / "shop_with_secrets.py"), "--json"]) == 0
    printed = capsys.readouterr().out
    assert "8c1f0a96" not in printed
    assert "hunter2" not in printed
    strong, weak = json.loads(printed)["settings"][-2:]
    assert strong == {
        "name": "SHOP_KEY",
        "value": "***",
        "source": "environment",
        "meaning": "which links are signed with",
    }
    assert (weak["value"], weak["source"]) == (None, "refused")
    assert main(["config", "shop.nowhere"]) == 2


def test_a_bad_setting_exits_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ROADWORTHY_PORT", "http")
    assert main(["config"]) == 2
    assert "ROADWORTHY_PORT" in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom roadworthy.cli.main import parser\nparser()\n"
        "print([name for name in ('asyncpg', 'granian', 'prometheus_client', 'uvloop') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m roadworthy config --json | head -c 1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stderr == ""


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_accident(closing: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m roadworthy config {closing}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_cannot_be_written_is_an_error_without_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "roadworthy", "config"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert ended.returncode == 2
    assert ended.stderr == "error: [Errno 28] No space left on device\n"


def test_a_narrow_locale_shows_other_characters_escaped() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "roadworthy", "config"],
        env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "ROADWORTHY_SERVICE": "caf\u00e9", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert r"caf\udcc3\udca9" in ended.stdout
