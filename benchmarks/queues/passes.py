"""One pass over one queue: what is measured and how, the same for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import quantiles

from . import marks
from .processes import Launcher, Producer, cpu_seconds
from .servers import Database, Redis

_LONGEST_DRAIN = 120.0
_POLL = 0.002
_COMMON_RATE = 500.0
_SETTLED = 0.5
_STATISTICS_ARRIVE = 1.3

Samples = dict[str, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure in a pass: enqueues one by one, pickups of an idle worker, seconds of load."""

    singles: int
    pickups: int
    load: float


@dataclass(slots=True)
class Pass:
    """Measures one queue. `taken` counts the jobs that were numbered, `twice` how many ran more than once."""

    launcher: Launcher
    server: Database | Redis
    size: Size
    samples: Samples = field(default_factory=dict)
    taken: int = 0
    twice: int = 0
    _seen: int = 0

    def number(self, count: int) -> int:
        """Return the first of `count` new numbers."""
        self.taken += count
        return self.taken - count

    async def enqueue(self, producer: Producer, jobs: int) -> None:
        """Add `jobs` jobs, in each way that the queue offers, and rate each."""
        left = jobs
        for method, measure in (
            ("enqueue_one", "enqueue, one at a time"),
            ("enqueue_in_transaction", "enqueue, in a transaction"),
        ):
            if method in producer.offers:
                count = self.size.singles if "enqueue_many" in producer.offers else left
                answer = await producer.order("singly", method=method, first=self.number(count), count=count)
                self.samples[measure] = count / answer["seconds"]
                left -= count
        if "enqueue_many" in producer.offers:
            answer = await producer.order("together", first=self.number(left), count=left, batch=500, most=60)
            self.samples["enqueue, 500 at once"] = answer["count"] / answer["seconds"]

    async def drained(self, worker: int, count: int) -> float:
        """Wait until `count` more jobs ran; return how many ran in a second, and note what each cost."""
        written = await self._counted(Database.written)
        commits = await self._counted(Database.commits)
        await self._ran(self._seen + 1)
        before = cpu_seconds(worker), cpu_seconds(self.server.pid)
        await self._ran(self._seen + count)
        after = cpu_seconds(worker), cpu_seconds(self.server.pid)
        began, ended = self._moments(count)
        self.samples["worker CPU per job"] = (after[0] - before[0]) * 1e6 / count
        self.samples["server CPU per job"] = (after[1] - before[1]) * 1e6 / count
        if isinstance(self.server, Database):
            self.samples["WAL per job"] = (await self.server.written() - written) / count
            await asyncio.sleep(_STATISTICS_ARRIVE)
            self.samples["commits per 1,000 jobs"] = (await self.server.commits() - commits) * 1000 / count
        else:
            await asyncio.sleep(_SETTLED)
        return (count - 1) / ((ended - began) / 1e9)

    def skip(self, seen: int) -> None:
        """Leave aside the runs noted so far, those of jobs that a stopped worker had at hand included."""
        self._seen = seen

    async def warm_up(self, producer: Producer) -> None:
        """Wait until the worker ran a first job."""
        await producer.order("singly", method="enqueue_one", first=self.number(1), count=1)
        await self._ran(self._seen + 1)
        self._seen += 1

    async def finished(self, count: int) -> float:
        """Wait until `count` more jobs ran; return how many ran in a second."""
        await self._ran(self._seen + count)
        began, ended = self._moments(count)
        return (count - 1) / ((ended - began) / 1e9)

    async def pick_up(self, producer: Producer) -> None:
        """Time pickups by an idle worker, from the call that enqueues a job until it runs."""
        count = self.size.pickups
        first = self.number(count)
        answer = await producer.order("spaced", first=first, count=count)
        await self._timed("pickup when idle", first, answer["at"])

    async def load(self, producer: Producer, rate: float) -> None:
        """Time pickups at a common rate, where the queue can do twice that, and at half of its own `rate`."""
        if rate >= 2 * _COMMON_RATE:
            await self.loaded(producer, _COMMON_RATE, f"pickup at {_COMMON_RATE:.0f}/s", self.size.load)
        await self.loaded(producer, rate / 2, "pickup at half its rate", self.size.load)

    async def loaded(self, producer: Producer, rate: float, measure: str, seconds: float, last: float = 1.0) -> None:
        """Time pickups under `rate` jobs a second; only the `last` part counts. Above 500/s jobs come in bulk."""
        bulk = rate > _COMMON_RATE and "enqueue_many" in producer.offers
        first = self.taken
        answer = await producer.order("steadily", first=first, rate=rate, seconds=seconds, bulk=bulk)
        self.number(len(answer["at"]))
        await self._timed(measure, first, answer["at"], last)

    async def _timed(self, measure: str, first: int, at: list[int], last: float = 1.0) -> None:
        seen = self._seen
        await self._ran(seen + len(at))
        ran: dict[int, int] = {}
        for number, moment in marks.read(self.launcher.marks)[seen:]:
            self.twice += number in ran
            ran.setdefault(number, moment)
        self._seen = marks.count(self.launcher.marks)
        waits = [(ran[first + n] - moment) / 1e6 for n, moment in enumerate(at) if first + n in ran]
        waits = waits[-max(int(len(waits) * last), 1) :]
        if len(waits) < 2:
            raise self.launcher.fail(f"{measure}: none of {len(at)} jobs ran")
        cuts = quantiles(waits, n=100, method="inclusive")
        self.samples[f"{measure}, p50"], self.samples[f"{measure}, p99"] = cuts[49], cuts[98]

    async def _ran(self, wanted: int) -> None:
        until = time.monotonic() + _LONGEST_DRAIN
        while marks.count(self.launcher.marks) < wanted:
            if time.monotonic() > until:
                raise self.launcher.fail(f"{marks.count(self.launcher.marks)} of {wanted} jobs ran in time")
            await asyncio.sleep(_POLL)

    def _moments(self, count: int) -> tuple[int, int]:
        ran = marks.read(self.launcher.marks)
        some = ran[self._seen : self._seen + count]
        self.twice += len(some) - len({number for number, _ in some})
        self._seen = len(ran)
        return some[0][1], some[-1][1]

    async def _counted(self, count: Callable[[Database], Awaitable[int]]) -> int:
        return await count(self.server) if isinstance(self.server, Database) else 0
