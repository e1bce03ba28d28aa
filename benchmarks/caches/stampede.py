"""One cold key and many callers, in one process or several: how often its source is asked.

`python -m benchmarks.caches.stampede NAME CALLERS FILE URL POSTGRES` is one of the processes. It says that it is
ready, waits for a line, and has its callers ask; each question to the source is a byte in the file.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .registry import kind_of
from .subject import VALUE, Subject

_SOURCE_SECONDS = 0.2
_ROOT = Path(__file__).parents[2]


async def loads(name: str, subject: Subject, processes: int, callers: int) -> int:
    """Return how often the source was asked by `callers` in each of the processes, all at once."""
    with tempfile.NamedTemporaryFile() as asked:
        command = [sys.executable, "-m", "benchmarks.caches.stampede", name, str(callers), asked.name]
        command += [subject.url, subject.postgres]
        running = [
            await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT, start_new_session=True
            )
            for _ in range(processes)
        ]
        try:
            async with asyncio.timeout(60):
                for process in running:
                    assert process.stdout is not None
                    if await process.stdout.readline() != b"ready\n":
                        raise RuntimeError(f"{name} did not start")
                answers = await asyncio.gather(*map(_answer, running))
                await asyncio.gather(*(process.communicate(b"") for process in running))
        finally:
            for process in running:
                if process.returncode is None:
                    process.kill()
        if any(process.returncode for process in running):
            raise RuntimeError(f"{name}: {answers}")
        return Path(asked.name).stat().st_size  # noqa: ASYNC240


async def _answer(process: asyncio.subprocess.Process) -> bytes:
    """Have a process ask, and wait until its callers have their answers; it goes on running, as a server does."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"go\n")
    return await process.stdout.readline()


async def _call(name: str, callers: int, asked: str, *servers: str) -> None:
    subject = kind_of(name)(*servers)
    await subject.open()
    try:

        async def load(_key: str) -> dict[str, Any]:
            with Path(asked).open("ab") as file:
                file.write(b".")
            await asyncio.sleep(_SOURCE_SECONDS)
            return dict(VALUE)

        call = subject.protected(load)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        async with asyncio.timeout(30):
            # A key of this run's, so that it is cold whatever the store keeps.
            assert all(value == VALUE for value in await asyncio.gather(*(call(asked) for _ in range(callers))))
        print("done", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await subject.close()


if __name__ == "__main__":
    asyncio.run(_call(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
