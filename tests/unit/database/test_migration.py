"""The rules that a directory of migrations must meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.database import migration
from roadworthy.errors import MigrationError


def write(directory: Path, *names: str, sql: str = "SELECT 1;") -> None:
    for name in names:
        (directory / name).write_text(sql)


def test_a_set_is_read_in_order(tmp_path: Path) -> None:
    write(tmp_path, "0002_b.sql", "0001_a.sql", "notes.md")
    first, second = migration.load(tmp_path, "app")
    assert (first.set, first.version, first.name, first.transactional) == ("app", 1, "a", True)
    assert (second.version, second.checksum) == (2, first.checksum)


def test_a_packages_set_is_found_by_name() -> None:
    first = migration.load("roadworthy.jobs", "roadworthy.jobs")[0]
    assert first.version == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1_a.sql"], "no name for a migration"),
        (["0001-a.sql"], "no name for a migration"),
        (["0002_a.sql"], "without a gap"),
        (["0001_a.sql", "0003_c.sql"], r"Rename it to 0002_c\.sql"),
        (["0001_a.sql", "0001_b.sql"], "share the number 0001"),
    ],
)
def test_names_and_numbers_have_rules(tmp_path: Path, names: list[str], message: str) -> None:
    write(tmp_path, *names)
    with pytest.raises(MigrationError, match=message):
        migration.load(tmp_path, "app")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="absent is no directory"):
        migration.load(tmp_path / "absent", "app")


@pytest.mark.parametrize("sql", ["BEGIN; SELECT 1; COMMIT;", "SELECT 1;\nrollback;", "-- hm\nSTART TRANSACTION;"])
def test_a_file_may_not_end_its_own_transaction(tmp_path: Path, sql: str) -> None:
    write(tmp_path, "0001_a.sql", sql=sql)
    with pytest.raises(MigrationError, match="one transaction already"):
        migration.load(tmp_path, "app")


def test_a_body_that_begins_and_ends_is_no_transaction(tmp_path: Path) -> None:
    write(tmp_path, "0001_a.sql", sql="CREATE FUNCTION f() RETURNS int AS $$ BEGIN RETURN 1; END $$ LANGUAGE plpgsql;")
    assert len(migration.load(tmp_path, "app")) == 1


@pytest.mark.parametrize(
    ("sql", "transactional"),
    [
        ("-- roadworthy: no-transaction\nSELECT 1;", False),
        ("\n-- Why.\n-- roadworthy: no-transaction\nSELECT 1;", False),
        ("SELECT 1;\n-- roadworthy: no-transaction\n", True),
        ("-- Why.\nSELECT 1;", True),
    ],
)
def test_the_first_comments_choose_the_transaction(tmp_path: Path, sql: str, transactional: bool) -> None:
    write(tmp_path, "0001_a.sql", sql=sql)
    assert migration.load(tmp_path, "app")[0].transactional is transactional


def test_a_misspelt_directive_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "0001_a.sql", sql="-- roadworthy: no_transaction\nSELECT 1;")
    with pytest.raises(MigrationError, match="asks for 'no_transaction'"):
        migration.load(tmp_path, "app")
