"""Processes kept alive: each is started, watched, restarted after a wait that grows, and ended within the grace.

Everything that a process says comes over its channel (`control`); that it cannot outlive the supervisor is `lifeline`'s
part. Processes are started from the main thread: Linux ties their death signal to the thread that made them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import random
from typing import Literal

import msgspec

from roadworthy.runtime.control import (
    Alive,
    Boot,
    Changed,
    Channel,
    Drain,
    Failed,
    Metrics,
    ProcessState,
    Report,
    Retire,
    Scrape,
    to_process,
)
from roadworthy.runtime.restart import RestartPolicy
from roadworthy.telemetry import exposition
from roadworthy.telemetry.exposition import Snapshot
from roadworthy.telemetry.ledger import KeptLedger
from roadworthy.telemetry.logging import get_logger

Role = Literal["web", "worker", "scheduler"]

_log = get_logger(__name__)

_KILLED_WITHIN = 5.0
_LAST_WORDS = 1.0
_WATCH_EVERY = 0.5
_SCRAPE_TIMEOUT = 0.25


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """A process that is to run: its name, unique among all, and its role. A worker has a queue, a web a listener."""

    name: str
    role: Role
    queue: str | None = None
    listener: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A process as it stands.

    `reason` is why it last ended or failed, in words. `silent` is for how long it has said nothing, which it does every
    second unless something keeps it from running.
    """

    name: str
    role: Role
    queue: str | None
    pid: int | None
    state: ProcessState
    restarts: int
    reason: str | None
    silent: timedelta


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every process is given: how to find the service, its environment and the time it has to end.

    One that has said nothing for `hung_after` is killed and started again; 0 lets it hang.
    """

    target: str
    environ: Mapping[str, str]
    grace: timedelta
    drain_delay: timedelta = timedelta(0)
    hung_after: timedelta = timedelta(minutes=1)


@dataclass(slots=True)
class Archive:
    """What processes that have ended had counted."""

    snapshot: Snapshot = exposition.EMPTY

    def retire(self, dead: Snapshot) -> None:
        """Keep the counters of a process that has ended."""
        self.snapshot = exposition.retire(self.snapshot, dead)


class Process:
    """One supervised process."""

    def __init__(
        self,
        plan: ProcessPlan,
        surroundings: Surroundings,
        archive: Archive,
        *,
        policy: RestartPolicy,
        draw: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """Nothing is started before `supervise`."""
        self.plan = plan
        self.ready = asyncio.Event()
        self.stopped = asyncio.Event()
        self.snapshot = exposition.EMPTY
        self.killed = False
        self.retiring = False
        self._surroundings = surroundings
        self._archive = archive
        self._policy = policy
        self._draw = draw
        self._clock = clock
        self._state: ProcessState = "starting"
        self._restarts = 0
        self._reason: str | None = None
        self._heard = clock()
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel[Report] | None = None
        self._ledger: KeptLedger | None = None
        self._draining = asyncio.Event()
        self._scraped = asyncio.Event()

    @property
    def status(self) -> ProcessStatus:
        """The process as it stands."""
        pid = None if self._process is None else self._process.pid
        plan = self.plan
        silent = timedelta(seconds=self._clock() - self._heard)
        return ProcessStatus(plan.name, plan.role, plan.queue, pid, self._state, self._restarts, self._reason, silent)

    async def supervise(self) -> None:
        """Keep the process running until it is drained; when cancelled, kill it first."""
        failures = 0
        while not self._draining.is_set():
            started = self._clock()
            self._state = "starting"
            ended = await self._run()
            if self._draining.is_set():
                break
            failures = self._policy.failures(failures, timedelta(seconds=self._clock() - started))
            await self._wait_to_restart(ended, failures)
        self._state = "stopped"
        self.stopped.set()

    async def drain(self) -> None:
        """Have the process finish what it does and end, and start it no more."""
        self._draining.set()
        if self._channel is not None:
            self._state = "draining"
            await self._channel.send(Drain())

    async def retire(self) -> None:
        """Have a worker take no more jobs, finish what it runs however long that takes, and start it no more."""
        self.retiring = True
        self._draining.set()
        if self._channel is not None:
            self._state = "draining"
            await self._channel.send(Retire())

    def kill(self) -> None:
        """End the process at once, and start it no more."""
        self._draining.set()
        if self._process is not None and self._process.returncode is None:
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def scrape(self) -> Snapshot:
        """Return what the process has counted; if it does not answer in time, its gauges as it last told them."""
        if self._channel is not None and self._state in ("ready", "stalled", "draining"):
            self._scraped.clear()
            try:
                async with asyncio.timeout(_SCRAPE_TIMEOUT):
                    await self._channel.send(Scrape())
                    await self._scraped.wait()
            except TimeoutError:
                self._complete()
        return self.snapshot

    def _complete(self) -> None:
        """Have what the process last told hold what its ledger has counted since."""
        if self._ledger is not None:
            self.snapshot = exposition.completed(self.snapshot, self._ledger.read())

    async def _wait_to_restart(self, ended: str, failures: int) -> None:
        wait = self._policy.delay(failures, self._draw).total_seconds()
        self._restarts += 1
        self._state = "waiting"
        self._reason = self._reason or ended
        _log.error(
            "process ended", process=self.plan.name, end=ended, reason=self._reason, restart=self._restarts, wait=wait
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._draining.wait()

    async def _run(self) -> str:
        """Run the process once to its end, and return how it ended."""
        self._reason = None
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        ledger = self._ledger = KeptLedger()
        try:
            try:
                process = self._process = await self._spawn(theirs, read, ledger.descriptor)
            except OSError as error:
                return f"could not be started: {error}"
            try:
                self._channel = await to_process(ours)
                return await self._converse(process, self._channel)
            finally:
                await _bury(process)
        finally:
            # The lifeline is cut last: until here the process is ours to end.
            os.close(write)
            self.ready.clear()
            if self._channel is None:
                ours.close()
            else:
                await self._channel.close()
            self._process = self._channel = self._ledger = None
            self._archive.retire(exposition.completed(self.snapshot, ledger.read()))
            ledger.close()
            self.snapshot = exposition.EMPTY
            # Whoever asked it waits in vain.
            self._scraped.set()

    async def _spawn(self, control: socket.socket, lifeline: int, ledger: int) -> asyncio.subprocess.Process:
        plan = self.plan
        descriptors = [control.fileno(), lifeline, ledger, *([] if plan.listener is None else [plan.listener])]
        arguments = [plan.role, plan.name, *map(str, (os.getpid(), control.fileno(), lifeline))]
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "roadworthy.runtime.process",
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=descriptors,
                env=dict(self._surroundings.environ),
                # A terminal's Ctrl-C is the supervisor's to pass on.
                process_group=0,
            )
        finally:
            control.close()
            os.close(lifeline)

    async def _converse(self, process: asyncio.subprocess.Process, channel: Channel[Report]) -> str:
        around = self._surroundings
        await channel.send(
            Boot(
                target=around.target,
                grace=around.grace.total_seconds(),
                drain_delay=around.drain_delay.total_seconds(),
                queue=self.plan.queue,
                listener=self.plan.listener,
                ledger=None if self._ledger is None else self._ledger.descriptor,
            )
        )
        if self._draining.is_set():
            await channel.send(Drain())
        listening = asyncio.create_task(self._listen(channel), name=f"channel of {self.plan.name}")
        watching = asyncio.create_task(self._watch(process), name=f"watch over {self.plan.name}")
        try:
            code = await process.wait()
            # What it said last is still on its way.
            await asyncio.wait([listening], timeout=_LAST_WORDS)
        finally:
            listening.cancel()
            watching.cancel()
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Kill the process once it has hung for so long that another should take its place.

        It says something each second. Until it is up it may be busy for long, and on its way out it has a deadline.
        Time in which the supervisor itself was held up does not count: what was said meanwhile is not heard yet.
        """
        longest = self._surroundings.hung_after.total_seconds()
        silent, looked_at = 0.0, self._clock()
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            now = self._clock()
            silent = min(silent + min(now - looked_at, 2 * _WATCH_EVERY), now - self._heard)
            looked_at = now
            if self._state in ("ready", "stalled") and silent > longest > 0:
                self._reason = f"it said nothing for {silent:.0f} s and was killed: it was stopped, or its loop blocked"
                _log.critical("process hangs and is killed", process=self.plan.name, silent=round(silent, 1))
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                return

    async def _listen(self, channel: Channel[Report]) -> None:
        try:
            while (report := await channel.receive()) is not None:
                self._hear(report)
        except msgspec.DecodeError as error:
            _log.error("process speaks another language", process=self.plan.name, error=str(error))

    def _hear(self, report: Report) -> None:
        self._heard = self._clock()
        match report:
            case Changed(state):
                self._state = state
                if state == "ready":
                    self.ready.set()
            case Metrics(snapshot):
                self.snapshot = snapshot
                self._scraped.set()
            case Alive():
                pass  # that it was heard is all
            case Failed(reason):
                self._reason = reason


async def _bury(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        async with asyncio.timeout(_KILLED_WITHIN):
            await process.wait()


@dataclass(slots=True)
class Supervisor:
    """All the processes of one machine. `running` starts those of `plans` and ends all.

    Meanwhile others may be added, and a worker that retires leaves `processes` when it has ended.
    """

    plans: Sequence[ProcessPlan]
    surroundings: Surroundings
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    draw: Callable[[], float] = random
    clock: Callable[[], float] = time.monotonic
    archive: Archive = field(default_factory=Archive)
    processes: list[Process] = field(init=False)
    _group: asyncio.TaskGroup = field(init=False, default_factory=asyncio.TaskGroup)

    def __post_init__(self) -> None:
        self.processes = [self._process(plan) for plan in self.plans]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Supervisor]:
        """Run the processes within an `async with`; whichever is left at its end is killed."""
        async with self._group:
            for process in self.processes:
                self._start(process)
            try:
                yield self
            finally:
                for process in self.processes:
                    process.kill()

    def add(self, plan: ProcessPlan) -> None:
        """Start one more process, within `running`."""
        process = self._process(plan)
        self.processes.append(process)
        self._start(process)

    async def drain(self, forced: asyncio.Event) -> bool:
        """End every process within the grace, or once `forced` is set at once; return whether none had to be killed."""
        for process in tuple(self.processes):
            await process.drain()
        ended = asyncio.create_task(self._all_stopped(), name="drain")
        hurried = asyncio.create_task(forced.wait(), name="second signal")
        try:
            await asyncio.wait(
                [ended, hurried],
                timeout=self.surroundings.grace.total_seconds() + _LAST_WORDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ended.cancel()
            hurried.cancel()
        for process in self.processes:
            process.kill()
        return not any(process.killed for process in self.processes)

    async def snapshots(self) -> dict[str, Snapshot]:
        """Return what each process has counted, by name, asking all of them at once."""
        await asyncio.gather(*(process.scrape() for process in self.processes))
        # One that ended meanwhile is in the archive now, and must not be counted twice.
        return {process.plan.name: process.snapshot for process in self.processes}

    async def _all_stopped(self) -> None:
        for process in tuple(self.processes):
            await process.stopped.wait()

    def _process(self, plan: ProcessPlan) -> Process:
        return Process(plan, self.surroundings, self.archive, policy=self.policy, draw=self.draw, clock=self.clock)

    def _start(self, process: Process) -> None:
        self._group.create_task(self._supervise(process), name=f"supervise {process.plan.name}")

    async def _supervise(self, process: Process) -> None:
        await process.supervise()
        if process.retiring:
            self.processes.remove(process)
