from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from roadworthy.health.memory import Memory
from roadworthy.health.resources import disk_check, memory_check

GIB = 1024**3
BLOCK = 4096


def disk(free: int, total: int) -> os.statvfs_result:
    return os.statvfs_result((BLOCK, BLOCK, total // BLOCK, free // BLOCK, free // BLOCK, 0, 0, 0, 0, 255))


@pytest.mark.parametrize(
    ("free", "total", "status"),
    [
        (20 * GIB, 100 * GIB, "pass"),
        (4 * GIB, 20 * GIB, "pass"),
        (6 * GIB, 10_000 * GIB, "pass"),
        (4 * GIB, 100 * GIB, "warn"),
        (GIB, 20 * GIB, "warn"),
        (GIB // 2, 100 * GIB, "fail"),
        (0, GIB, "fail"),
    ],
)
async def test_a_disk_that_is_full(tmp_path: Path, free: int, total: int, status: str) -> None:
    check = disk_check(lambda: tmp_path, statistics=lambda _: disk(free, total))
    (reading,) = await check.run()
    assert (reading.name, reading.status, reading.value, reading.unit) == ("disk:free", status, free, "bytes")
    assert (str(tmp_path) in (reading.output or "")) == (status != "pass")
    assert not check.critical


@pytest.mark.parametrize("directory", [None, Path("/nowhere/at/all")])
async def test_a_directory_that_is_not_there_has_no_disk(directory: Path | None) -> None:
    assert await disk_check(lambda: directory).run() == []


async def test_this_disk(tmp_path: Path) -> None:
    (reading,) = await disk_check(lambda: tmp_path).run()
    assert isinstance(reading.value, int)


async def test_a_disk_that_cannot_be_looked_at(tmp_path: Path) -> None:
    def broken(path: Path) -> os.statvfs_result:
        raise OSError("stale handle")

    with pytest.raises(OSError, match="stale handle"):
        await disk_check(lambda: tmp_path, statistics=broken).run()


async def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    release = threading.Event()

    def hang(path: Path) -> os.statvfs_result:
        release.wait(30)
        return disk(1, 1)

    looking = asyncio.ensure_future(disk_check(lambda: tmp_path, statistics=hang).run())
    await asyncio.sleep(0.01)
    looking.cancel()
    await asyncio.wait([looking], timeout=60)
    assert looking.cancelled()
    release.set()


@pytest.mark.parametrize(
    ("resident", "group", "statuses"),
    [
        (10, None, ["pass", "pass"]),
        (86, None, ["warn", "pass"]),
        (96, None, ["fail", "pass"]),
        (10, 20, ["pass", "pass", "pass"]),
        (10, 90, ["pass", "warn", "pass"]),
        (10, 99, ["pass", "fail", "pass"]),
    ],
)
async def test_memory_that_is_scarce(resident: int, group: int | None, statuses: list[str]) -> None:
    readings = await memory_check(lambda: Memory(resident, 100, group)).run()
    assert [reading.status for reading in readings] == statuses
    assert [bool(reading.output) for reading in readings] == [status != "pass" for status in statuses]
    assert readings[-1].name == "memory:limit"


async def test_memory_that_is_not_known() -> None:
    assert await memory_check(lambda: None).run() == []
