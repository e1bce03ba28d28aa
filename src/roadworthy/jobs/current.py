"""The job that the calling code is part of."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadworthy.jobs.engine import ClaimedJob

CURRENT: ContextVar[ClaimedJob | None] = ContextVar("roadworthy_current_job", default=None)


def current_job() -> ClaimedJob | None:
    """Return the job that a worker is running in this task, with its id and attempt; None outside one."""
    return CURRENT.get()
