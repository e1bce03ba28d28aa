"""Rules about promises: what an objective measures must exist and be measurable at its threshold."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.catalogue import catalogue
from roadworthy.check.nearest import suggestion
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject
from roadworthy.objectives.burn import rows
from roadworthy.objectives.spec import ObjectiveSpec
from roadworthy.telemetry.metrics import HTTP_REQUEST_DURATION
from roadworthy.telemetry.spec import MetricSpec


def not_a_duration(subject: Subject) -> Iterator[Problem]:
    """Find objectives within a time whose metric is no histogram in seconds."""
    for objective, metric in _measured(subject):
        if metric.kind != "histogram" or not metric.name.endswith("_seconds"):
            yield Problem.of(
                objective,
                f"is about a time, but {metric.name} is a {metric.kind} and no histogram in seconds",
                "name a histogram whose name ends in _seconds",
            )


def no_bucket(subject: Subject) -> Iterator[Problem]:
    """Find objectives whose threshold is no bucket, so that nobody knows how many events were within it."""
    for objective, metric in _measured(subject):
        if metric.kind != "histogram" or objective.under is None:
            continue
        threshold = objective.under.total_seconds()
        if threshold in metric.buckets:
            continue
        own = "buckets" if metric in subject.spec.metrics else "request_buckets"
        bounds = ", ".join(f"{bound:g}" for bound in metric.buckets)
        yield Problem.of(
            objective,
            f"has a threshold of {threshold:g} s, which is no bucket of {metric.name} ({bounds})",
            f"add {threshold:g} to {own}=, or promise one of the buckets",
        )


def unserved_route(subject: Subject) -> Iterator[Problem]:
    """Find objectives on a route that the application does not have."""
    if subject.app is None:
        return
    for objective in subject.spec.objectives:
        if objective.route_parts is None or subject.app.may_serve(*objective.route_parts):
            continue
        methods = ((method, route.path) for route in subject.app.routes for method in route.methods or ())
        routes = {f"{method} {path}" for method, path in methods if method != "HEAD"}
        yield Problem.of(
            objective,
            f"is about {objective.route!r}, which the application does not serve",
            suggestion(objective.route or "", routes, "route"),
        )


def without_application(subject: Subject) -> Iterator[Problem]:
    """Find objectives on requests in a service that serves none."""
    if subject.app is not None:
        return
    for objective in subject.spec.objectives:
        if objective.about_requests:
            yield Problem.of(
                objective,
                "is about requests, but the service has no application",
                "wrap it with service.install(app) in a module that the service's imports, name it with "
                "Service(..., app='module:attribute'), or measure a metric= of your own",
            )


def never_pages(subject: Subject) -> Iterator[Problem]:
    """Find objectives so low that no alert on their error budget can page, whatever fails."""
    for objective in subject.spec.objectives:
        # That searches find nothing is no reason to wake somebody.
        if objective.kind != "quality" and all(row.severity != "critical" for row in rows(objective)):
            yield Problem.of(
                objective,
                f"is {objective.objective:g}, so low that its budget cannot be used up fast enough to page anybody",
                "promise more, or declare an alert of your own",
            )


def _measured(subject: Subject) -> Iterator[tuple[ObjectiveSpec, MetricSpec]]:
    known = {metric.name: metric for metric in catalogue(subject.spec)}
    for objective in subject.spec.objectives:
        metric = known.get(objective.metric or HTTP_REQUEST_DURATION.name)
        if objective.kind == "latency" and metric is not None:
            yield objective, metric


RULES = (
    Rule("RW050", "An objective measures no duration", "error", not_a_duration),
    Rule("RW051", "An objective's threshold is no bucket", "error", no_bucket),
    Rule("RW052", "An objective is about a route that the application does not serve", "error", unserved_route),
    Rule("RW053", "An objective is about requests, and there is no application", "error", without_application),
    Rule("RW054", "An objective can never page", "warning", never_pages),
)
