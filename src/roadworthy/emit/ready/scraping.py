"""Alerts on being measured at all: without that, no other one fires."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.objectives.spec import AlertExample
from roadworthy.telemetry.metrics import LABEL_OVERFLOW

_SCRAPE_AT_MOST = 10


def scraping_alerts(service: str) -> Iterator[Alert]:
    """Yield the alerts on scrapes that fail, take long, or bring more series than were declared."""
    up = selected("up", {"service": service})
    yield Alert(
        "TargetDown",
        f"min by (instance) ({up}) == 0",
        minutes(5),
        "critical",
        "A process that should be measured does not answer",
        "Prometheus cannot scrape {{ $labels.instance }}: the service is down there, or its operations port cannot be "
        "reached. No other alert on it can fire meanwhile.",
        "Does the process run? `roadworthy run` prints why one ended. If it does, does its operations port answer, and "
        "can Prometheus reach it?",
        example=AlertExample(
            {up: "0x60"},
            {up: "1x60"},
            timedelta(0),
            {"instance": ""},
            {"{{ $labels.instance }}": ""},
        ),
    )
    took = selected("scrape_duration_seconds", {"service": service})
    yield Alert(
        "SlowScrapes",
        f"max by (instance) ({took}) > {_SCRAPE_AT_MOST / 2:g}",
        minutes(5),
        "warning",
        "Metrics take long to collect",
        "A scrape of {{ $labels.instance }} takes {{ $value | humanizeDuration }}; past "
        f"{_SCRAPE_AT_MOST} s it fails, and everything goes blind.",
        "How many series are there (scrape_samples_scraped)? Which metric grew (telemetry_label_overflow_total)?",
        example=AlertExample(
            {took: "6x60"},
            {took: "4x60"},
            timedelta(0),
            {"instance": ""},
            {"{{ $labels.instance }}": "", "{{ $value | humanizeDuration }}": "6s"},
        ),
    )
    overflow = selected(LABEL_OVERFLOW.name, {"service": service})
    yield Alert(
        "CardinalityCapHit",
        f"sum by (metric) (increase({overflow}[15m])) > 0",
        minutes(5),
        "warning",
        "A metric has more label values than it may",
        "{{ $labels.metric }} was given label values outside its declaration; they are counted together as __other__, "
        "so what its panels and alerts say by label is no longer whole.",
        "Which value is it, and may it be one? Declare it, or stop labelling by what callers choose.",
        example=AlertExample(
            {selected(LABEL_OVERFLOW.name, {"service": service, "metric": "a"}): "0+1x60"},
            {selected(LABEL_OVERFLOW.name, {"service": service, "metric": "a"}): "5x60"},
            INTERVAL,
            {"metric": "a"},
            {"{{ $labels.metric }}": "a"},
        ),
    )
