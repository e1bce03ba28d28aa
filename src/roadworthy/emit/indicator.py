"""What an objective counts, in PromQL: all events, and the bad ones among them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from roadworthy.jobs.metrics import JOB_WAIT, JOBS_FINISHED
from roadworthy.objectives.collection import SCRAPE_INTERVAL
from roadworthy.objectives.spec import ObjectiveSpec
from roadworthy.telemetry.metrics import HTTP_REQUEST_DURATION, HTTP_REQUESTS
from roadworthy.telemetry.spec import bucket_label

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


@dataclass(frozen=True, slots=True)
class Indicator:
    """Two PromQL expressions of events a second over `window`, such as "5m": `total`, and `bad`.

    Without a bad event there may be no series of bad ones, so `bad` is 0 then and not missing.
    """

    total: str
    bad: str


def indicator(objective: ObjectiveSpec, service: str, window: str) -> Indicator:
    """Return what `objective` of `service` counts over `window`.

    What is to be fresh is looked at once in each interval between scrapes, whatever the window.
    """
    match objective.kind:
        case "freshness":
            age = age_of(objective, service)
            looks = f"{SCRAPE_INTERVAL.total_seconds():g}"
            return Indicator(f"count({age}) / {looks}", f"({age} > bool {_seconds(objective)}) / {looks}")
        case "latency" | "job latency":
            metric, labels = histogram_of(objective, service)
            total = f"sum(rate({selected(f'{metric}_count', labels)}[{window}]))"
            within = selected(f"{metric}_bucket", labels | {"le": threshold_label(objective)})
            return Indicator(total, f"{total} - sum(rate({within}[{window}]))")
        case "quality":
            labels, counter = {"service": service}, objective.metric or ""
            total = f"sum(rate({selected(counter, labels)}[{window}]))"
            good = selected(counter, labels, *one_of(objective.good or {}))
            return Indicator(total, f"{total} - (sum(rate({good}[{window}])) or vector(0))")
        case "job success":
            labels = job_labels(objective, service)
            ended = selected(JOBS_FINISHED.name, labels, 'outcome=~"succeeded|dead"')
            dead = selected(JOBS_FINISHED.name, labels, 'outcome="dead"')
            return Indicator(f"sum(rate({ended}[{window}]))", f"sum(rate({dead}[{window}])) or vector(0)")
        case "availability":
            labels = request_labels(objective, service)
            failed = selected(HTTP_REQUESTS.name, labels, 'status=~"5.."')
            total = f"sum(rate({selected(HTTP_REQUESTS.name, labels)}[{window}]))"
            return Indicator(total, f"sum(rate({failed}[{window}])) or vector(0)")


def age_of(objective: ObjectiveSpec, service: str) -> str:
    """Return how old what is to be fresh is, in seconds: of several such things, the oldest.

    A moment that is 0 was not told yet, and of several targets that tell of one thing the latest counts.
    """
    gauge = selected(objective.fresh or "", {"service": service})
    if objective.tells_moment:
        # Not time(), which runs on between two scrapes.
        return f"max(min without (instance) (timestamp({gauge}) - ({gauge} != 0)))"
    return f"max({gauge})"


def histogram_of(objective: ObjectiveSpec, service: str) -> tuple[str, dict[str, str]]:
    """Return the name of the histogram that an objective within a time counts, and the labels of its series."""
    if objective.kind == "job latency":
        return JOB_WAIT.name, job_labels(objective, service)
    if objective.metric is not None:
        return objective.metric, {"service": service}
    return HTTP_REQUEST_DURATION.name, request_labels(objective, service)


def request_labels(objective: ObjectiveSpec, service: str) -> dict[str, str]:
    """Return the labels of the requests that an objective is about."""
    labels = {"service": service}
    if objective.route_parts is not None:
        labels["method"], labels["route"] = objective.route_parts
    return labels


def job_labels(objective: ObjectiveSpec, service: str) -> dict[str, str]:
    """Return the labels of the jobs that an objective is about."""
    labels = {"service": service, "queue": objective.queue or ""}
    return labels if objective.job is None else {**labels, "job": objective.job}


def threshold_label(objective: ObjectiveSpec) -> str:
    """Return the `le` label of the bucket of what is in time."""
    return "" if objective.under is None else bucket_label(objective.under.total_seconds())


def _seconds(objective: ObjectiveSpec) -> str:
    return "0" if objective.within is None else f"{objective.within.total_seconds():.12g}"


def one_of(values: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return matchers of series that have one of the values of each label."""
    return [
        f"{label}={quoted(listed[0])}" if len(listed) == 1 else f"{label}=~{quoted('|'.join(map(_literal, listed)))}"
        for label, listed in values.items()
    ]


def _literal(text: str) -> str:
    """Return a text as a regular expression that matches it alone."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def selected(metric: str, labels: Mapping[str, str], *further: str) -> str:
    """Return a selector of `metric` whose labels have these values; `further` are matchers as they are written."""
    matchers = [f"{name}={quoted(value)}" for name, value in labels.items()]
    return f"{metric}{{{','.join([*matchers, *further])}}}"


def quoted(text: str) -> str:
    """Return a text as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
