"""Rules about promises on jobs, on what is kept up to date, and on the events of a counter: all of it must exist."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.catalogue import catalogue
from roadworthy.check.nearest import suggestion
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject


def unknown_jobs(subject: Subject) -> Iterator[Problem]:
    """Find objectives on a queue, or a job of it, that the service does not have."""
    queues = {queue.name for queue in subject.spec.queues}
    for objective in subject.spec.objectives:
        if objective.queue is None:
            continue
        jobs = {job.name for job in subject.spec.jobs if job.queue == objective.queue}
        if objective.queue not in queues:
            yield Problem.of(
                objective,
                f"is about the queue {objective.queue!r}, which is not declared",
                suggestion(objective.queue, queues, "queue"),
            )
        elif objective.job is not None and objective.job not in jobs:
            yield Problem.of(
                objective,
                f"is about the job {objective.job!r}, which the queue {objective.queue!r} does not have",
                suggestion(objective.job, jobs, "job"),
            )


def no_age(subject: Subject) -> Iterator[Problem]:
    """Find objectives on freshness whose metric is no gauge in seconds."""
    known = {metric.name: metric for metric in catalogue(subject.spec)}
    gauges = {name for name, metric in known.items() if metric.kind == "gauge" and name.endswith("_seconds")}
    for objective in subject.spec.objectives:
        if objective.fresh is None or objective.fresh in gauges:
            continue
        metric = known.get(objective.fresh)
        if metric is None:
            message = f"names the metric {objective.fresh!r}, which nothing exports"
            fix = suggestion(objective.fresh, gauges, "gauge in seconds")
        else:
            message = f"is about an age, but {metric.name} is a {metric.kind} and no gauge in seconds"
            fix = "name a gauge that tells when (its name ends in _timestamp_seconds) or how old (in _seconds)"
        yield Problem.of(objective, message, fix)


def never_good(subject: Subject) -> Iterator[Problem]:
    """Find objectives on the events of a counter whose label or value it does not have."""
    known = {metric.name: metric for metric in catalogue(subject.spec)}
    for objective in subject.spec.objectives:
        metric = known.get(objective.metric or "")
        if objective.good is None or metric is None:
            continue
        if metric.kind != "counter":
            yield Problem.of(
                objective, f"counts events, but {metric.name} is a {metric.kind}", "name a counter of the service"
            )
            continue
        series = subject.catalogue[metric.name]
        for label, values in objective.good.items():
            if label not in metric.label_names:
                yield Problem.of(
                    objective,
                    f"goes by the label {label!r}, which {metric.name} does not have",
                    suggestion(label, metric.label_names, "label"),
                )
                continue
            possible = series.labels[label]
            for value in values:
                if possible is not None and not possible.admit(value):
                    yield Problem.of(
                        objective,
                        f"takes {label}={value!r} for good, which {metric.name} never has",
                        suggestion(value, possible.listed, "value"),
                    )


RULES = (
    Rule("RW090", "An objective is about a queue or a job that is not declared", "error", unknown_jobs),
    Rule("RW091", "An objective on freshness has no gauge in seconds", "error", no_age),
    Rule("RW092", "An objective goes by a label or value that its counter does not have", "error", never_good),
)
