"""Throw-away PostgreSQL for tests: one server, and on it a fresh database for each test in tens of milliseconds."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

from roadworthy.database import administration
from roadworthy.runtime.embedded import EmbeddedPostgres

# Nothing here outlives the process, so nothing needs to survive the machine.
_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class ScratchServer:
    """A PostgreSQL in a temporary directory, removed with it. Like EmbeddedPostgres it belongs to no event loop."""

    def __init__(self) -> None:
        """Make the directory; `start` does the rest."""
        self._directory = Path(tempfile.mkdtemp(prefix="roadworthy-"))
        # Root's server runs as another user, who has to get past this directory to its own.
        self._directory.chmod(0o711)
        self.postgres = EmbeddedPostgres(self._directory / "data", database="template", settings=_FORGETFUL)

    async def start(self) -> None:
        """Start the server."""
        await self.postgres.start()

    async def stop(self) -> None:
        """Stop the server and remove all that it kept."""
        try:
            await self.postgres.stop()
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)

    async def __aenter__(self) -> ScratchServer:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def create_database(self, template: str = "template") -> str:
        """Create a database like `template`, another one's name, and return its DSN."""
        name = f"scratch_{secrets.token_hex(6)}"
        await administration.create_database(self.postgres.dsn_of("postgres"), name, template=template)
        return self.postgres.dsn_of(name)

    async def drop_database(self, dsn: str) -> None:
        """Drop the database that `create_database` returned, whoever is still connected to it."""
        await administration.drop_database(self.postgres.dsn_of("postgres"), administration.name_in(dsn))

    @asynccontextmanager
    async def database(self, template: str = "template") -> AsyncIterator[str]:
        """Create a database like `template` for the length of the block, which gets its DSN."""
        dsn = await self.create_database(template)
        try:
            yield dsn
        finally:
            await self.drop_database(dsn)


@asynccontextmanager
async def scratch_database(server: ScratchServer | None = None) -> AsyncIterator[str]:
    """Hold a fresh database, on `server` or on one started for it, and drop it afterwards; the block gets its DSN."""
    if server is not None:
        async with server.database() as dsn:
            yield dsn
        return
    async with ScratchServer() as own, own.database() as dsn:
        yield dsn
