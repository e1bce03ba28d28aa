"""What is metered."""

from __future__ import annotations

from roadworthy.telemetry.spec import Label, MetricSpec

ROUTE, JOB, OTHER = "route", "job", "other"
"""Whose doing it was: a request's, by its method and route, a job's by its name, or something else's."""

METERED = MetricSpec(
    "metered_units_total",
    "counter",
    "Units that a meter of the service has counted, by whose doing.",
    (Label("meter"), Label("kind", (ROUTE, JOB, OTHER)), Label("name", limit=500)),
)

CATALOGUE: tuple[MetricSpec, ...] = (METERED,)
