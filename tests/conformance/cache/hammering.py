"""One of several processes that write the same few names of one store, and tell what they did and heard.

    python -m conformance.cache.hammering KIND URL SERVICE NODE ROUNDS

It says `ready`, begins at a line on its input, says `done`, and goes on until it hears of the name `end`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

from roadworthy.cache.record import STAMP, Entry, encode
from roadworthy.cache.store import Change, Store, Write

from .stores import Kind, opened

NAMES = [f"name {n}" for n in range(8)]
LIMIT = 60


class Hammer:
    """What one process did and heard."""

    def __init__(self, store: Store, node: int, rounds: int) -> None:
        self._store = store
        self._node = node
        self._rounds = rounds
        self._draw = random.Random(node)
        self.ended = asyncio.Event()
        self.report: dict[str, list[Any]] = {"heard": [], "answers": [], "fallen": []}

    def changed(self, change: Change) -> None:
        if change.name == "end":
            self.ended.set()
        else:
            self.report["heard"].append((change.action, change.name, change.stamp, change.sender))

    def interrupted(self) -> None:
        self.report["heard"].clear()

    async def run(self) -> None:
        """Have three callers at once write and read."""
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(self._call())

    async def _call(self) -> None:
        seen: dict[str, int] = {}
        for _ in range(self._rounds):
            writes = [self._write(name) for name in self._draw.sample(NAMES, self._draw.choice((1, 1, 4)))]
            for write, kept in zip(writes, await self._store.write(writes), strict=True):
                self.report["answers"].append((write.name, write.stamp, kept))
            if self._draw.random() < 0.2:
                await self._store.invalidate(["tag"], lifetime=60)
            for name, record in zip(NAMES, await self._store.get_many(NAMES), strict=True):
                stamp = 0 if record is None else int.from_bytes(record[STAMP])
                if stamp < seen.get(name, 0):
                    self.report["fallen"].append((name, seen[name], stamp))
                seen[name] = stamp

    def _write(self, name: str) -> Write:
        stamp = self._draw.getrandbits(50) << 12 | self._node
        deletion = self._draw.random() < 0.3
        record = encode(Entry(b"", stamp, 2e9, 2e9, tombstone=deletion))
        return Write(name, record, stamp, 60, "delete" if deletion else "set")


def say(line: str) -> None:
    """Tell the process that started this one."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(kind: Kind, url: str, service: str, node: int, rounds: int) -> None:
    """Do all of it."""
    async with asyncio.timeout(LIMIT), opened(kind, url, service, node) as store:
        hammer = Hammer(store, node, rounds)
        async with store.listening(hammer.changed, hammer.interrupted):
            say("ready")
            await asyncio.to_thread(sys.stdin.readline)
            await hammer.run()
            say("done")
            await hammer.ended.wait()
    say(json.dumps(hammer.report))


if __name__ == "__main__":
    chosen: Any = sys.argv[1]
    asyncio.run(main(chosen, sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
