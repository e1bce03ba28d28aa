"""Rules about what a service needs: its metrics' names and its queues."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.catalogue import catalogue
from roadworthy.check.catalogue import SCRAPE_SERIES
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject


def name_taken(subject: Subject) -> Iterator[Problem]:
    """Find metrics of the service that export a series under a name that another metric already exports."""
    owners = dict.fromkeys(SCRAPE_SERIES, "Prometheus itself")
    platform = len(catalogue(subject.spec)) - len(subject.spec.metrics)
    for number, metric in enumerate(catalogue(subject.spec)):
        for series in dict.fromkeys((metric.name, *metric.series_names)):
            owner = owners.setdefault(series, metric.name if number >= platform else f"Roadworthy's {metric.name}")
            if number >= platform and owner != metric.name:
                yield Problem(
                    "metric",
                    metric.name,
                    f"metric {metric.name!r} exports {series}, as {owner} does",
                    "rename the metric",
                )
                break


def idle_queue(subject: Subject) -> Iterator[Problem]:
    """Find queues that have workers and no job."""
    used = {job.queue for job in subject.spec.jobs}
    for queue in subject.spec.queues:
        if queue.name not in used:
            yield Problem(
                "queue",
                queue.name,
                f"queue {queue.name!r} has no job, so its workers have nothing to do",
                "decorate a function with the queue's job(), import the module that does from the service's, or remove "
                "the queue",
            )


RULES = (
    Rule("RW002", "A metric's name is taken by another metric", "error", name_taken),
    Rule("RW010", "A queue has no job", "error", idle_queue),
)
