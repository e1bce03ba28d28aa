"""What `roadworthy keys` and `roadworthy audit` do, on a real database, in this process."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roadworthy.cli.main import main
from roadworthy.database import migration
from roadworthy.runtime.scratch import ScratchServer

DECLARATION = """
from roadworthy import Service
service = Service("shop")
keys = service.api_keys(prefix="shop", scopes=("read", "write"))
several = Service("several")
several.api_keys(prefix="one")
several.api_keys("other", prefix="two")
none = Service("none")
"""

Say = Callable[..., Any]


@pytest.fixture
def dsn(postgres_server: ScratchServer) -> Iterator[str]:
    dsn = asyncio.run(postgres_server.create_database())
    yield dsn
    asyncio.run(postgres_server.drop_database(dsn))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", dsn)
    monkeypatch.setenv("ROADWORTHY_SERVICE", "shop_of_keys:service")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    (tmp_path / "shop_of_keys.py").write_text(DECLARATION)
    yield
    sys.modules.pop("shop_of_keys", None)


@pytest.fixture
def migrated(dsn: str) -> None:
    names = ("roadworthy.jobs", "roadworthy.security")
    asyncio.run(migration.apply(dsn, [migration.load(name, name) for name in names]))


@pytest.fixture
def say(migrated: None, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run `roadworthy ... --json` and return its document, its exit code checked."""

    def run(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main([*arguments, "--json"]) == code, capsys.readouterr().err
        output = capsys.readouterr()
        return json.loads(output.out) if code == 0 else output.err

    return run


def test_a_key_from_its_issue_to_its_end(say: Say) -> None:
    made = say("keys", "issue", "export", "--owner", "acme", "--scope", "read", "--lifetime", "30d", "--as", "ann")
    id = made["key"]["id"]
    assert made["secret"].startswith(f"{id}_")
    assert (made["key"]["state"], made["key"]["scopes"], made["key"]["owner"]) == ("active", ["read"], "acme")
    (listed,) = say("keys", "list", "--owner", "acme")["keys"]
    assert listed["id"] == id
    assert "secret" not in listed
    rotated = say("keys", "rotate", id, "--overlap", "2h", "--yes", "--as", "bob", "--reason", "quarterly")
    assert rotated["replaced"]["state"] == "rotated"
    assert rotated["key"]["scopes"] == ["read"]
    assert [key["id"] for key in say("keys", "list")["keys"]] == [rotated["key"]["id"], id]
    ended = say("keys", "revoke", rotated["secret"], "--yes", "--as", "bob")
    assert ended["key"]["state"] == "revoked"
    assert [key["id"] for key in say("keys", "list")["keys"]] == [id]
    assert len(say("keys", "list", "--all", "--limit", "1")["keys"]) == 1
    assert [key["id"] for key in say("keys", "list", "--all", "--after", rotated["key"]["id"])["keys"]] == [id]
    done = say("keys", "audit")["audit"]
    assert [(entry["action"], entry["actor"]) for entry in done] == [
        ("api_key.revoke", "bob"),
        ("api_key.rotate", "bob"),
        ("api_key.issue", "ann"),
    ]
    assert done[1]["detail"]["reason"] == "quarterly"


def test_the_key_alone_is_on_the_standard_output(migrated: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "issue", "export", "--scope", "read"]) == 0
    output = capsys.readouterr()
    secret = output.out.strip()
    assert re.fullmatch(r"shop_[0-9A-Za-z]{8}_[0-9A-Za-z]{30}", secret)
    assert "cannot be shown again" in output.err
    assert secret not in output.err
    assert main(["keys", "list"]) == 0
    table = capsys.readouterr().out
    assert secret[:13] in table
    assert secret not in table
    assert main(["audit"]) == 0
    table = capsys.readouterr().out
    assert "api_key.issue" in table
    assert secret not in table


def test_what_ends_a_key_is_confirmed(say: Say, migrated: None, capsys: pytest.CaptureFixture[str]) -> None:
    id = say("keys", "issue", "export", "--as", "ann")["key"]["id"]
    for action in ("revoke", "rotate"):
        assert "Add --yes" in say("keys", action, id, code=2)
    assert [key["state"] for key in say("keys", "list")["keys"]] == ["active"]


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, []), ("n\n", 1, ["active"]), ("\n", 1, ["active"])])
def test_a_person_is_asked(
    say: Say,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    code: int,
    left: list[str],
) -> None:
    id = say("keys", "issue", "export", "--owner", "acme", "--as", "ann")["key"]["id"]
    asked: list[str] = []

    async def person(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("roadworthy.cli.keys.desk.asked", person)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert main(["keys", "revoke", id]) == code
    assert asked == [f"Revoke {id} ('export' of acme, never used)? [y/N] "]
    assert [key["state"] for key in say("keys", "list")["keys"]] == left


def test_what_is_not_there_is_no(say: Say) -> None:
    assert "no API key in force" in say("keys", "revoke", "shop_00000000", "--yes", code=1)
    assert "no API key in force" in say("keys", "rotate", "shop_00000000", "--yes", code=1)
    id = say("keys", "issue", "export", "--as", "ann")["key"]["id"]
    say("keys", "revoke", id, "--yes")
    say("keys", "revoke", id, "--yes", code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("keys", "issue", "export", "--scope", "admin"), "admin"),
        (("keys", "issue", "export", "--limit", "many"), "many"),
        (("keys", "issue", "x" * 201), "1 to 200"),
        (("keys", "issue", "export", "--keys", "else"), "it has: api"),
        (("keys", "issue", "export", "--service", "shop_of_keys:none"), "declares no API keys"),
        (("keys", "issue", "export", "--service", "shop_of_keys:several"), "--keys api|other"),
    ],
)
def test_what_cannot_be_is_refused(say: Say, arguments: tuple[str, ...], message: str) -> None:
    assert message in say(*arguments, code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "revoke", "shop_1"),
        ("keys", "rotate", "shop_00000000", "--overlap", "soon"),
        ("audit", "--since", "yesterday"),
    ],
)
def test_bad_usage_is_told_and_repeats_no_secret(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    secret = "shop_00000000_" + "s3cret" * 5
    with pytest.raises(SystemExit):
        main(["keys", "revoke", secret])
    assert "s3cret" not in capsys.readouterr().err


def test_the_pattern_finds_what_is_issued(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    secret = say("keys", "issue", "export", "--as", "ann")["secret"]
    told = say("keys", "pattern")
    assert re.findall(told["pattern"], f'key = "{secret}";') == [secret]
    assert main(["keys", "pattern", "--service", "shop_of_keys:several", "--keys", "other"]) == 0
    assert capsys.readouterr().out == "\\btwo_[0-9A-Za-z]{8}_[0-9A-Za-z]{30}\\b\n"


def test_the_audit_is_narrowed_down(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    for who in ("ann", "bob"):
        say("keys", "issue", who, "--as", who)
    everything = say("audit")["audit"]
    assert [entry["actor"] for entry in everything] == ["bob", "ann"]
    assert len(say("audit", "--actor", "ann", "--since", "1h", "--action", "api_key")["audit"]) == 1
    assert say("audit", "--action", "jobs")["audit"] == []
    assert say("audit", "--before", str(everything[-1]["id"]))["audit"] == []
    assert say("audit", "--since", "2999-01-01T00:00+00:00")["audit"] == []
    assert main(["audit", "--subject", "nothing"]) == 0
    assert capsys.readouterr().out == "the audit has no such entry\n"


def test_a_database_that_was_not_migrated_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["keys", "list"], ["audit"]):
        assert main(arguments) == 2
        assert "roadworthy migrate" in capsys.readouterr().err


def test_where_there_is_no_database_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    assert main(["keys", "list"]) == 2
    assert "DATABASE_URL is not set" in capsys.readouterr().err
