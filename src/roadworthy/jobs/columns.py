"""Jobs as the columns of the statements that insert them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from roadworthy.jobs.engine import PLAIN, JobOptions, NewJob

decode_options = msgspec.json.Decoder(JobOptions).decode


def new_columns(jobs: Sequence[NewJob]) -> list[list[Any]]:
    """Return the columns of jobs to be inserted; those without a value are empty, which `unnest` fills with nulls."""
    columns: list[list[Any]] = [
        [job.queue for job in jobs],
        [job.job for job in jobs],
        [job.arguments.decode() for job in jobs],
        [job.attempts for job in jobs],
        [job.priority for job in jobs],
        [job.unique_key for job in jobs],
        [None if job.context is None else msgspec.json.encode(job.context).decode() for job in jobs],
        [None if job.options is PLAIN else msgspec.json.encode(job.options).decode() for job in jobs],
        [job.delay for job in jobs],
        [job.run_at for job in jobs],
    ]
    return [[] if column.count(None) == len(column) else column for column in columns]


def outlasts(job: NewJob) -> bool:
    """Whether a job's unique key may be taken for longer than the job waits and runs."""
    options = job.options
    return options is not PLAIN and (options.unique_for is not None or options.unique_while == "unresolved")
