"""The declaration of a database: its migrations and the size of its pool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from roadworthy.errors import DeclarationError

_DATABASE_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class DatabaseSpec:
    """A service's PostgreSQL database.

    `migrations` is the directory of its `.sql` files, None for a service without tables of its own. `pool` is the
    smallest and the largest number of connections that each process holds.
    """

    name: str
    migrations: Path | None = None
    pool: tuple[int, int] = (1, 10)

    def __post_init__(self) -> None:
        if not _DATABASE_NAME.fullmatch(self.name):
            raise DeclarationError(f"database name {self.name!r} must match [a-z][a-z0-9_]*; rename it")
        smallest, largest = self.pool
        if not 0 <= smallest <= largest or largest < 1:
            raise DeclarationError(
                f"database {self.name!r} has pool={self.pool}; "
                "it is (smallest, largest) with 0 <= smallest <= largest, largest >= 1"
            )
