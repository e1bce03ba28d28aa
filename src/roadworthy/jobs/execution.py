"""Where attempts run: on the event loop, in a thread, in a child process; one Protocol for the three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from roadworthy.jobs.children import ProcessRunner
from roadworthy.jobs.current import CurrentJob
from roadworthy.jobs.spec import JobSpec, Runs
from roadworthy.jobs.threads import ThreadRunner


class Runner(Protocol):
    """Runs attempts in one way."""

    async def run(self, spec: JobSpec, current: CurrentJob, arguments: dict[str, Any]) -> Any:
        """Run the job's function and return what it returned, or raise what it raised.

        Cancelled, it has the function end and returns when that has ended, which may be never.
        """

    async def close(self) -> None:
        """Let go of what it keeps for the next attempt; from now on, a cancelled `run` leaves its function behind."""


class LoopRunner:
    """Runs async functions in the task that calls it."""

    async def run(self, spec: JobSpec, current: CurrentJob, arguments: dict[str, Any]) -> Any:
        """Await the function; see `Runner.run`."""
        return await spec.function(**arguments)

    async def close(self) -> None:
        """Nothing is kept."""


def runners() -> Mapping[Runs, Runner]:
    """Return a runner of each kind; none starts anything before its first attempt."""
    return {"loop": LoopRunner(), "thread": ThreadRunner(), "process": ProcessRunner()}
