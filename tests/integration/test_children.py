"""CPU jobs with what stands around them: results that are kept, and tests that run them inline."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from roadworthy import testing
from unit.jobs.process_jobs import Size, note, service, sizes


async def test_what_a_child_returns_is_kept_as_the_function_says() -> None:
    async with testing.running(service):
        id = await sizes.enqueue(text="four")
        assert id is not None
        assert await testing.drain(service) == []
        assert await sizes.result(id) == Size(4, datetime(2030, 1, 1, tzinfo=UTC))


async def test_inline_it_runs_in_a_child_too(tmp_path: Path) -> None:
    async with testing.running(service, jobs="inline"):
        await note.enqueue(path=str(tmp_path / "note"), text="inline")
    assert (tmp_path / "note").read_text().split()[1] == "inline"
