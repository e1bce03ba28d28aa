"""What `roadworthy activity` tells, on a real database, in this process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from roadworthy.activity import postgres
from roadworthy.cli.main import main
from roadworthy.database import migration
from roadworthy.database.driver import Record
from roadworthy.database.pool import Pool
from roadworthy.database.queries import load_queries
from roadworthy.database.spec import DatabaseSpec
from roadworthy.runtime.scratch import ScratchServer

DECLARATION = """
from roadworthy import Service
service = Service("shop")
service.database()
service.activity("shoppers")
none = Service("none")
"""


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
    monkeypatch.setenv("ROADWORTHY_SERVICE", "shop_of_shoppers:service")
    (tmp_path / "shop_of_shoppers.py").write_text(DECLARATION)
    yield
    sys.modules.pop("shop_of_shoppers", None)


async def note(dsn: str) -> None:
    await migration.apply(dsn, [migration.load(postgres.PACKAGE, postgres.PACKAGE)])
    statements = load_queries(postgres.PACKAGE)
    today = datetime.now(UTC).date()
    async with await Pool.open(dsn, DatabaseSpec("main", pool=(1, 1))) as pool:

        async def fetch(statement: str, *arguments: object) -> list[Record]:
            return list(await pool.fetch(statements[statement], *arguments))

        await postgres.note(fetch, "shoppers", [(b"a" * 16, today - timedelta(days=14))])
        await postgres.note(fetch, "shoppers", [(b"a" * 16, today), (b"b" * 16, today)])


def test_it_tells_days_and_weeks(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(note(dsn))
    assert main(["activity", "--days", "2", "--json"]) == 0
    (shoppers,) = json.loads(capsys.readouterr().out)["activities"]
    assert [(day["active"], day["new"]) for day in shoppers["days"]][-1] == (2, 1)
    assert [cohort["size"] for cohort in shoppers["cohorts"]] == [1]
    assert main(["activity"]) == 0
    told = capsys.readouterr().out
    assert "shoppers, by day" in told
    assert "WEEK FROM" in told


def test_it_says_what_it_lacks(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["activity"]) == 2
    assert "run `roadworthy migrate` first" in capsys.readouterr().err
    assert main(["activity", "shop_of_shoppers:none"]) == 0
    assert "service.activity()" in capsys.readouterr().out
    for days in ("0", "401", "soon"):
        with pytest.raises(SystemExit) as stopped:
            main(["activity", "--days", days])
        assert stopped.value.code == 2
        assert repr(days) in capsys.readouterr().err
