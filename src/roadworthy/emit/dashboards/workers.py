"""The board of queues and their workers."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.emit.dashboard import RATE_INTERVAL, Dashboard, Panel, Query, Row, Variable
from roadworthy.emit.dashboards.expressions import highest, quantile, rate, summed
from roadworthy.emit.indicator import selected
from roadworthy.jobs.metrics import (
    JOB_DURATION,
    JOB_PAUSED,
    JOB_WAIT,
    JOBS_ENQUEUED,
    JOBS_FINISHED,
    JOBS_RESCUED,
    QUEUE_BLOCKED,
    QUEUE_DEAD,
    QUEUE_DESIRED_WORKERS,
    QUEUE_OLDEST_READY,
    QUEUE_OVERDUE,
    QUEUE_PAUSED,
    QUEUE_READY,
    QUEUE_RUNNING,
    QUEUE_SCHEDULED,
    WORKER_HEARTBEAT,
)
from roadworthy.service import ServiceSpec

_CHOSEN = 'queue=~"$queue"'
_NO_JOB = "No job has run yet."
_NO_FAILURE = "No job has failed."


def worker_health(spec: ServiceSpec) -> Dashboard | None:
    """Return the board of a service's queues, or None without any."""
    if not spec.queues:
        return None
    labels = {"service": spec.name}
    found = (
        Row("What waits", tuple(_waiting(spec))),
        Row("What is done", tuple(_done(labels))),
        Row("How long it takes", tuple(_times(labels))),
        Row("Workers", tuple(_workers(labels))),
    )
    return Dashboard("workers", "Worker health", found, (Variable("queue", selected(QUEUE_READY.name, labels)),))


def _waiting(spec: ServiceSpec) -> Iterator[Panel]:
    labels = {"service": spec.name}
    ready = f"max by (queue) ({selected(QUEUE_READY.name, labels, _CHOSEN)})"
    yield Panel("Jobs that wait", (Query(highest(ready), "{{queue}}"),), alert="WorkerQueueBacklog")
    states = (QUEUE_SCHEDULED, QUEUE_READY, QUEUE_RUNNING, QUEUE_BLOCKED, QUEUE_DEAD)
    yield Panel(
        "Jobs by state",
        tuple(
            Query(
                summed(f"max by (queue) ({selected(state.name, labels, _CHOSEN)})"), state.name.removeprefix("queue_")
            )
            for state in states
        ),
        description="Scheduled ones wait for their time, blocked ones for a limit or a pause to let them through.",
    )
    queues, jobs = (f"max by (queue{more}) ({selected(metric.name, labels)})" for metric, more in _PAUSES)
    yield Panel(
        "Paused",
        (Query(f"{queues} > 0", "{{queue}}"), Query(f"{jobs} > 0", "{{job}} in {{queue}}")),
        unit="none",
        may_be_empty="Nothing is paused.",
    )
    overdue = f"max by (queue) ({selected(QUEUE_OVERDUE.name, labels, _CHOSEN)})"
    yield Panel(
        "Jobs past their lease",
        (Query(highest(overdue), "{{queue}}"),),
        unit="none",
        description="Their worker has stopped renewing it, and no other one has taken them back.",
        alert="JobsStuckRunning",
    )
    for queue in spec.queues:
        oldest = selected(QUEUE_OLDEST_READY.name, {**labels, "queue": queue.name})
        yield Panel(
            f"Longest wait in {queue.name}",
            (Query(f"max by (queue) (timestamp({oldest}) - {oldest})", "oldest job"),),
            unit="s",
            alert="OldestJobAge",
            alert_labels={"queue": queue.name},
        )


_PAUSES = ((QUEUE_PAUSED, ""), (JOB_PAUSED, ", job"))


def _done(labels: dict[str, str]) -> Iterator[Panel]:
    yield Panel(
        "In and out",
        (
            Query(rate(JOBS_ENQUEUED.name, labels, _CHOSEN), "enqueued"),
            Query(rate(JOBS_FINISHED.name, labels, _CHOSEN, 'outcome=~"succeeded|dead|cancelled"'), "done with"),
        ),
        unit="ops",
        may_be_empty=_NO_JOB,
    )
    yield Panel(
        "Attempts by outcome",
        (Query(rate(JOBS_FINISHED.name, labels, _CHOSEN, by=("outcome",)), "{{outcome}}"),),
        unit="ops",
        may_be_empty=_NO_JOB,
    )
    failed, finished = (
        f"sum by (queue, job) (increase({selected(JOBS_FINISHED.name, labels, _CHOSEN, outcomes)}[15m]))"
        for outcomes in ('outcome=~"retried|dead"', 'outcome=~"succeeded|retried|dead"')
    )
    yield Panel(
        "Attempts that fail",
        (Query(highest(f"{failed} / {finished}"), "{{job}} in {{queue}}"),),
        unit="percentunit",
        description="The share of attempts in a quarter of an hour. The alert wants twenty attempts.",
        alert="HighJobFailureRate",
        may_be_empty=_NO_FAILURE,
    )
    dead = f"increase({selected(JOBS_FINISHED.name, labels, _CHOSEN, _DEAD)}[15m])"
    yield Panel(
        "New dead letters",
        (Query(highest(summed(dead, "queue", "job")), "{{job}} in {{queue}}"),),
        description="Jobs that failed for the last time within a quarter of an hour.",
        alert="DeadLettersGrowing",
        may_be_empty="No job has failed for good.",
    )


_DEAD = 'outcome="dead"'


def _times(labels: dict[str, str]) -> Iterator[Panel]:
    yield Panel(
        "Wait for a worker, 19 in 20",
        (Query(highest(quantile(0.95, JOB_WAIT.name, labels, _CHOSEN, by=("queue",))), "{{queue}}"),),
        unit="s",
        may_be_empty=_NO_JOB,
    )
    yield Panel(
        "Time to run, half",
        (Query(highest(quantile(0.5, JOB_DURATION.name, labels, _CHOSEN, by=("queue", "job"))), "{{job}}"),),
        unit="s",
        may_be_empty=_NO_JOB,
    )
    yield Panel(
        "Time to run, 19 in 20",
        (Query(highest(quantile(0.95, JOB_DURATION.name, labels, _CHOSEN, by=("queue", "job"))), "{{job}}"),),
        unit="s",
        may_be_empty=_NO_JOB,
    )
    busy = f"rate({selected(f'{JOB_DURATION.name}_sum', labels, _CHOSEN)}[{RATE_INTERVAL}])"
    yield Panel(
        "Time spent by job",
        (Query(highest(summed(busy, "job")), "{{job}}"),),
        unit="short",
        description="How many workers' slots each kind of job keeps busy.",
        may_be_empty=_NO_JOB,
    )


def _workers(labels: dict[str, str]) -> Iterator[Panel]:
    beats = f"max by (worker) ({selected(WORKER_HEARTBEAT.name, labels)})"
    desired = f"max by (queue) ({selected(QUEUE_DESIRED_WORKERS.name, labels)})"
    yield Panel(
        "Workers",
        (
            Query(f"count(time() - {beats} < 120)", "take jobs"),
            Query(summed(desired), "would keep every queue's target"),
        ),
        unit="none",
    )
    yield Panel(
        "Workers wanted by queue",
        (Query(highest(desired), "{{queue}}"),),
        unit="none",
        description="So many would begin what waits within the queue's target, before bounds and windows.",
    )
    yield Panel(
        "Since a worker's last sign",
        (Query(highest(f"time() - {beats}"), "{{worker}}"),),
        unit="s",
        alert="WorkerDown",
    )
    yield Panel(
        "Jobs taken back",
        (Query(rate(JOBS_RESCUED.name, labels, by=("queue",)), "{{queue}}"),),
        unit="ops",
        description="From workers that stopped renewing their lease.",
        may_be_empty="No worker has lost a job.",
    )
