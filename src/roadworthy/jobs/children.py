"""Jobs that compute: each in a child process, which can be stopped whatever it does. The other end is `child`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle  # nosec B403  # between a process and its own child
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from roadworthy.errors import JobProcessDied
from roadworthy.jobs.child import LENGTH, Call, Raised, Returned, Setup
from roadworthy.jobs.current import CurrentJob
from roadworthy.jobs.failure import RemoteError
from roadworthy.jobs.spec import JobSpec
from roadworthy.telemetry import logging

_TERMINATED_WITHIN = 2.0
_LEAVES_WITHIN = 2.0
_IDLE_AT_MOST = 60.0


class ProcessRunner:
    """Runs plain functions in child processes: one job at a time in each. One that idles for a minute leaves."""

    def __init__(self) -> None:
        """Start no process yet."""
        self._idle: list[Child] = []
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self, spec: JobSpec, current: CurrentJob, arguments: dict[str, Any]) -> Any:
        """Run the function in a child; see `Runner.run`. Cancelled, it ends the child.

        Raises:
            JobProcessDied: the child was killed, or ended by itself.
            RemoteError: the function raised; it carries the failure with the child's traceback.
        """
        child = await self._take()
        finished = False
        try:
            answer = await child.call(_call(spec, current, arguments))
            finished = True
        finally:
            if finished:
                self._keep(child)
            else:
                await child.kill()
        if isinstance(answer, Returned):
            return msgspec.json.decode(answer.result)
        if answer.error is not None:
            raise pickle.loads(answer.error)  # noqa: S301 (what our own child pickled)  # nosec B301
        raise RemoteError(answer.failure)

    async def close(self) -> None:
        """Let the children leave; see `Runner.close`."""
        children, self._idle = self._idle, []
        await asyncio.gather(*(child.leave() for child in children), *self._leaving)

    def _keep(self, child: Child) -> None:
        self._idle.append(child)
        child.dismissal = asyncio.get_running_loop().call_later(_IDLE_AT_MOST, self._dismiss, child)

    def _dismiss(self, child: Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
            leaving = asyncio.get_running_loop().create_task(child.leave())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _take(self) -> Child:
        # The latest first, so that the others get to leave.
        while self._idle:
            child = self._idle.pop()
            child.stay()
            if child.alive:
                return child
            await child.kill()
        return await Child.start()


class Child:
    """One child process, as its worker sees it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Made by `start`."""
        self._process = process
        self._reader = reader
        self._writer = writer
        self.dismissal: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls) -> Child:
        """Start a child; it imports what it needs when it is called."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "roadworthy.jobs.child",
                    str(os.getpid()),
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    # A process group of its own, so that what a job starts ends with it.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        child = cls(process, *await asyncio.open_unix_connection(sock=ours))
        format, level = logging.current()
        child._send(Setup(sys.path, _main(), format, level))
        return child

    @property
    def alive(self) -> bool:
        """Whether it can take a call."""
        return self._process.returncode is None and not self._reader.at_eof()

    def stay(self) -> None:
        """Forget that it was to leave."""
        if self.dismissal is not None:
            self.dismissal.cancel()

    async def call(self, call: Call) -> Returned | Raised:
        """Have it run a function; raise JobProcessDied where it ends before it has answered."""
        self._send(call)
        try:
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()
            length = int.from_bytes(await self._reader.readexactly(LENGTH), "big")
            return msgspec.msgpack.decode(await self._reader.readexactly(length), type=Returned | Raised)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise JobProcessDied(f"the process that ran the job {await self._end()}") from None

    async def leave(self) -> None:
        """Have it end by itself, and kill it where it does not."""
        self.stay()
        self._writer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVES_WITHIN):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """End it, and whatever it started: SIGTERM, and SIGKILL a moment later, or at once when cancelled again."""
        try:
            if self._process.returncode is None:
                self._signal(signal.SIGTERM)
                async with asyncio.timeout(_TERMINATED_WITHIN):
                    await self._process.wait()
        except (TimeoutError, asyncio.CancelledError) as error:
            self._signal(signal.SIGKILL)
            if isinstance(error, asyncio.CancelledError):
                raise
            await self._process.wait()
        finally:
            self._signal(signal.SIGKILL)
            self._writer.close()

    def _send(self, message: Setup | Call) -> None:
        data = msgspec.msgpack.encode(message)
        self._writer.write(len(data).to_bytes(LENGTH, "big") + data)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _end(self) -> str:
        """Return in words how the process ended; one that closed its socket and lives on is killed."""
        try:
            async with asyncio.timeout(_LEAVES_WITHIN):
                code = await self._process.wait()
        except TimeoutError:
            return "closed its connection to the worker"
        if code == -signal.SIGKILL:
            return "was killed by SIGKILL: by the system when memory ran out, or by somebody"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended by itself with exit code {code}"


def _call(spec: JobSpec, current: CurrentJob, arguments: dict[str, Any]) -> Call:
    function = spec.function
    carried = logging.CONTEXT.get({}).items()
    context = {name: value if isinstance(value, int) else str(value) for name, value in carried}
    encoded = spec.arguments.encode(arguments)
    return Call(function.__module__, function.__qualname__, encoded, current.claimed, context)


def _main() -> str | None:
    """Return how a child can import the program that this process runs."""
    main = sys.modules["__main__"]
    if (spec := getattr(main, "__spec__", None)) is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return None if file is None else str(Path(file).resolve())
