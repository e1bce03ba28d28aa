"""The declaration of a database."""

from __future__ import annotations

import pytest

from roadworthy.database.metrics import CATALOGUE
from roadworthy.database.spec import DatabaseSpec
from roadworthy.errors import DeclarationError


@pytest.mark.parametrize("name", ["", "Main", "1st", "with-dash"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(DeclarationError, match="rename it"):
        DatabaseSpec(name)


@pytest.mark.parametrize("pool", [(2, 1), (-1, 5), (0, 0)])
def test_a_pool_has_a_smallest_and_a_largest_size(pool: tuple[int, int]) -> None:
    with pytest.raises(DeclarationError, match="smallest"):
        DatabaseSpec("main", pool=pool)


def test_every_metric_is_about_databases() -> None:
    assert all(metric.name.startswith("database_") for metric in CATALOGUE)
