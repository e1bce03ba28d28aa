"""Which user PostgreSQL runs as."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from roadworthy.errors import DatabaseUnavailable
from roadworthy.runtime import identity
from roadworthy.runtime.identity import Identity, choose, reaches

OWNER = pwd.getpwuid(os.geteuid())
PROGRAM = Path(sys.executable).resolve()


def account(name: str, number: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", number, number, "", "/", "/bin/false"))


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [account("root", 0), account("nobody", 70001), account("postgres", 70002), account("other", 70003)]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwall", lambda: known)


def reachable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(identity, "reaches", lambda account, path: account.pw_name in names)


def test_anybody_but_root_stays_who_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    assert choose(tmp_path, PROGRAM) == Identity(1234, os.getegid(), "same")


@pytest.mark.usefixtures("as_root")
def test_root_prefers_the_account_made_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reachable(monkeypatch, "nobody", "postgres")
    assert choose(tmp_path, PROGRAM) == Identity(70002, 70002, "user:70002:70002")


@pytest.mark.usefixtures("as_root")
def test_root_takes_nobody_where_only_that_gets_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reachable(monkeypatch, "nobody")
    assert choose(tmp_path, PROGRAM).argument == "user:70001:70001"


@pytest.mark.usefixtures("as_root")
def test_the_owner_of_existing_data_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reachable(monkeypatch, "other", "nobody", "postgres")
    (tmp_path / "postgres").mkdir()
    monkeypatch.setattr(Path, "stat", lambda path: os.stat_result((0o40700, 0, 0, 1, 70003, 70003, 0, 0, 0, 0)))
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert choose(tmp_path, PROGRAM).argument == "user:70003:70003"


@pytest.mark.usefixtures("as_root")
def test_root_keeps_its_rights_under_another_number_where_no_one_gets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reachable(monkeypatch)
    monkeypatch.setattr(identity, "_works", lambda tried, program: True)
    assert choose(tmp_path, PROGRAM) == Identity(0, 0, "mapped:70002:70002")


@pytest.mark.usefixtures("as_root")
def test_root_without_any_way_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reachable(monkeypatch)
    monkeypatch.setattr(identity, "_works", lambda tried, program: False)
    with pytest.raises(DatabaseUnavailable, match=r"neither postgres nor nobody can reach .*ROADWORTHY_DATA_DIR"):
        choose(tmp_path, PROGRAM)


def test_a_way_is_open_to_its_owner_its_group_and_others(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    found = place.stat()
    stranger, owner = account("stranger", 70009), account("owner", found.st_uid)
    member = pwd.struct_passwd(("member", "x", 70009, found.st_gid, "", "/", "/bin/false"))
    for mode, expected in ((0o700, (True, False, False)), (0o710, (True, True, False)), (0o701, (True, False, True))):
        place.chmod(mode)
        seen = tuple(identity._may_enter(who, place.stat()) for who in (owner, member, stranger))
        assert seen == expected
    assert reaches(OWNER, Path("/"))


def test_a_program_that_hangs_or_fails_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Identity(os.geteuid(), os.getegid(), "same")
    assert identity._works(same, Path("/bin/true"))
    assert not identity._works(same, Path("/bin/false"))

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("x", 1)

    monkeypatch.setattr(subprocess, "run", hang)
    assert not identity._works(same, Path("/bin/true"))
