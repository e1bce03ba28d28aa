"""A supervised process: `python -m roadworthy.runtime.process ROLE NAME PARENT CONTROL LIFELINE`.

The role and the name are for whoever reads a process list; everything else arrives over the channel. SIGTERM to this
process alone makes it finish and end, and its supervisor start a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import traceback
from datetime import timedelta

from roadworthy.errors import RoadworthyError
from roadworthy.runtime import lifeline, loop, roles
from roadworthy.runtime.control import (
    Alive,
    Boot,
    Changed,
    Channel,
    Command,
    Drain,
    Failed,
    Metrics,
    ProcessState,
    Retire,
    Scrape,
    to_supervisor,
)
from roadworthy.runtime.lifecycle import running
from roadworthy.runtime.settings import Settings
from roadworthy.runtime.signals import Stop
from roadworthy.runtime.target import Target, application, resolve
from roadworthy.service import ASGIApp
from roadworthy.telemetry import logging
from roadworthy.telemetry.ledger import Ledger
from roadworthy.telemetry.registry import MetricRegistry

_ORPHAN_GRACE = timedelta(seconds=5)
_TELL_INTERVAL = 1.0
_FAILED = 1


class SupervisedProcess:
    """This process, as its supervisor sees it."""

    def __init__(self, role: str, name: str) -> None:
        """`role` is "web", "worker" or "scheduler"; `name` is unique among the supervisor's processes."""
        self.role = role
        self.name = name
        self._lost = False
        self._stop = Stop()
        self._retired = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def orphaned(self) -> None:
        """Finish, since the supervisor is gone; called in the thread that saw it."""
        self._lost = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._hurry)

    def _hurry(self) -> None:
        self._stop.requested.set()
        self._stop.forced.set()

    async def main(self, control: socket.socket) -> int:
        """Be what the supervisor says, and return the exit code."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.requested.set)
        if self._lost:
            return lifeline.ORPHANED
        channel = await to_supervisor(control)
        boot = await channel.receive()
        if not isinstance(boot, Boot):
            return lifeline.ORPHANED
        try:
            await self._be(boot, channel)
        except RoadworthyError as error:
            await channel.send(Failed(str(error)))
            return _FAILED
        except Exception as error:
            await channel.send(Failed("".join(traceback.format_exception(error)).strip()))
            return _FAILED
        finally:
            await channel.close()
        return 0

    async def _be(self, boot: Boot, channel: Channel[Command]) -> None:
        settings = Settings.load(os.environ)
        logging.configure(settings.log_format, settings.log_level)
        target = resolve(boot.target)
        logging.configure(settings.log_format, settings.log_level, secrets=lambda: target.service.secret_values)
        # The application's modules declare, too, and what is declared later than the binding is not part of it.
        app = application(target) if self.role == "web" else None
        ledger = _ledger(boot.ledger)
        async with running(target.service, settings, migrate=False, name=self.name, ledger=ledger):
            metrics = target.service.binding("the supervised process").metrics
            reporting = [
                asyncio.create_task(self._obey(channel, metrics), name="commands"),
                asyncio.create_task(_tell(channel, metrics), name="signs of life"),
            ]
            try:
                await self._play(boot, target, app, channel)
            finally:
                for task in reporting:
                    task.cancel()
                await channel.send(Metrics(metrics.snapshot()))

    async def _obey(self, channel: Channel[Command], metrics: MetricRegistry) -> None:
        while (command := await channel.receive()) is not None:
            match command:
                case Drain():
                    self._stop.requested.set()
                case Retire():
                    self._retired.set()
                case Scrape():
                    await channel.send(Metrics(await metrics.snapshot_in_turns()))
        self._stop.requested.set()

    async def _play(self, boot: Boot, target: Target, app: ASGIApp | None, channel: Channel[Command]) -> None:
        service = target.service
        spec = service.spec
        binding = service.binding(f"process {self.name}")
        grace = timedelta(seconds=boot.grace)

        async def changed(state: ProcessState) -> None:
            await channel.send(Changed(state))

        match self.role:
            case "web":
                if app is None or boot.listener is None:
                    raise RoadworthyError(f"service {service.name!r} has no ASGI application to serve")
                delay = timedelta(seconds=boot.drain_delay)
                with socket.socket(fileno=boot.listener) as listener:
                    await roles.serve(app, listener, stop=self._stop, grace=grace, drain_delay=delay, changed=changed)
            case "worker":
                queues = [queue for queue in spec.queues if queue.name == boot.queue]
                await roles.work(
                    binding,
                    spec,
                    queues,
                    name=self.name,
                    stop=self._stop,
                    grace=grace,
                    changed=changed,
                    retired=self._retired,
                )
            case "scheduler":
                await roles.schedule(binding, spec, stop=self._stop, changed=changed)


def _ledger(descriptor: int | None) -> Ledger | None:
    if descriptor is None:
        return None
    try:
        return Ledger(descriptor)
    finally:
        os.close(descriptor)


async def _tell(channel: Channel[Command], metrics: MetricRegistry) -> None:
    """Say regularly that the loop runs, and have the ledger know what was counted beside it meanwhile."""
    while True:
        metrics.carry_over()
        await channel.send(Alive())
        await asyncio.sleep(_TELL_INTERVAL)


def main(arguments: list[str]) -> int:
    """Run one supervised process to its end, and return its exit code."""
    role, name, parent, control, lifeline_end = arguments
    for descriptor in (int(control), int(lifeline_end)):
        # What this process starts in turn must not keep the supervisor's end of them alive.
        os.set_inheritable(descriptor, False)
    process = SupervisedProcess(role, name)
    lifeline.hold(int(lifeline_end), process.orphaned, _ORPHAN_GRACE)
    lifeline.die_with_parent(int(parent))
    logging.configure()
    with socket.socket(fileno=int(control)) as end:
        return loop.run(process.main(end))


if __name__ == "__main__":
    loop.leave(main(sys.argv[1:]))
