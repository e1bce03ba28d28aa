"""The tables of jobs, made by hand where a test has no service whose migrations would."""

from __future__ import annotations

from roadworthy.database.pool import Pool
from roadworthy.jobs.postgres import MIGRATIONS


async def create_job_tables(pool: Pool) -> None:
    """Apply the migrations of jobs to an empty database."""
    for migration in sorted(MIGRATIONS.glob("*.sql")):
        await pool.execute(migration.read_text(encoding="utf-8"))
