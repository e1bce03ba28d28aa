"""Series of which a known share of an objective's events is bad, to test its rules with."""

from __future__ import annotations

from datetime import timedelta

from roadworthy.emit.indicator import histogram_of, job_labels, request_labels, selected, threshold_label
from roadworthy.jobs.metrics import JOBS_FINISHED
from roadworthy.objectives.collection import SCRAPE_INTERVAL
from roadworthy.objectives.spec import ObjectiveSpec
from roadworthy.telemetry.metrics import HTTP_REQUESTS

_EVENTS = 600
"""How many events there are in each scrape; of what is to be fresh, each scrape is one."""


def events(objective: ObjectiveSpec, service: str, *, bad: float) -> dict[str, str]:
    """Return series in which the share `bad` of the events in each scrape is bad.

    What is to be fresh always is or, where all is bad, never; it then is as old as it may be.
    """
    failing, fine = _rising(_EVENTS * bad), _rising(_EVENTS * (1 - bad))
    match objective.kind:
        case "freshness":
            return _ages(objective, service, stale=bad >= 1)
        case "latency" | "job latency":
            return _durations(objective, service, fine)
        case "quality":
            metric, labels = objective.metric or "", {"service": service}
            good = {label: values[0] for label, values in (objective.good or {}).items()}
            others = dict.fromkeys(good, "another value")
            return {selected(metric, labels | good): fine, selected(metric, labels | others): failing}
        case "job success":
            labels = job_labels(objective, service) | {"job": objective.job or "job"}
            return {
                selected(JOBS_FINISHED.name, labels | {"outcome": "dead"}): failing,
                selected(JOBS_FINISHED.name, labels | {"outcome": "succeeded"}): fine,
                selected(JOBS_FINISHED.name, labels | {"outcome": "cancelled"}): _rising(_EVENTS),
            }
        case "availability":
            labels = {"method": "GET", "route": "/"} | request_labels(objective, service)
            return {
                selected(HTTP_REQUESTS.name, labels | {"status": "500"}): failing,
                selected(HTTP_REQUESTS.name, labels | {"status": "200"}): fine,
            }


def seen_after(objective: ObjectiveSpec) -> timedelta:
    """Return after how long series of `events` have the fewest events that an alert wants."""
    return SCRAPE_INTERVAL * (objective.minimum_events - 1 if objective.kind == "freshness" else 1)


def _durations(objective: ObjectiveSpec, service: str, within: str) -> dict[str, str]:
    metric, labels = histogram_of(objective, service)
    if objective.about_requests:
        labels = {"method": "GET", "route": "/"} | labels
    return {
        selected(f"{metric}_bucket", labels | {"le": threshold_label(objective)}): within,
        selected(f"{metric}_count", labels): _rising(_EVENTS),
    }


def _ages(objective: ObjectiveSpec, service: str, *, stale: bool) -> dict[str, str]:
    most = 0.0 if objective.within is None else objective.within.total_seconds()
    gauge = selected(objective.fresh or "", {"service": service})
    if not objective.tells_moment:
        return {gauge: f"{most + 1 if stale else most:.12g}x2000"}
    # A test begins at the moment 0.
    if stale:
        return {gauge: f"-{most + 1:.12g}x2000"}
    return {gauge: f"-{most:.12g}+{SCRAPE_INTERVAL.total_seconds():g}x2000"}


def _rising(events: float) -> str:
    return f"0+{events:.12g}x2000"
