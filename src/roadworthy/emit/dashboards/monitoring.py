"""The board of monitoring itself: when it fails, everything else looks well."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.emit.dashboard import RATE_INTERVAL, Dashboard, Panel, Query, Row
from roadworthy.emit.dashboards.expressions import highest, summed
from roadworthy.emit.indicator import selected
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.metrics import LABEL_OVERFLOW

_OWN = {"job": "prometheus"}


def monitoring(spec: ServiceSpec) -> Dashboard:
    """Return the board of scrapes, series, rules and notifications."""
    labels = {"service": spec.name}
    found = (
        Row("Scrapes", tuple(_scrapes(labels))),
        Row("Prometheus", tuple(_prometheus(labels))),
    )
    return Dashboard("monitoring", "Monitoring itself", found)


def _scrapes(labels: dict[str, str]) -> Iterator[Panel]:
    one = "{{instance}}"
    yield Panel(
        "Scraped",
        (Query(f"min by (instance) ({selected('up', labels)})", one),),
        unit="none",
        alert="TargetDown",
        values={0: "down", 1: "up"},
    )
    took = f"max by (instance) ({selected('scrape_duration_seconds', labels)})"
    yield Panel("Time of a scrape", (Query(highest(took), one),), unit="s", alert="SlowScrapes")
    samples = f"max by (instance) ({selected('scrape_samples_post_metric_relabeling', labels)})"
    yield Panel("Series of a scrape", (Query(highest(samples), one),))
    added = summed(f"sum_over_time({selected('scrape_series_added', labels)}[{RATE_INTERVAL}])", "instance")
    yield Panel(
        "New series",
        (Query(highest(added), one),),
        description="After a restart all are new. Otherwise a label has ever new values.",
    )
    overflow = summed(f"increase({selected(LABEL_OVERFLOW.name, labels)}[15m])", "metric")
    yield Panel(
        "Label values past the cap",
        (Query(highest(overflow), "{{metric}}"),),
        description="Counted together as __other__, within a quarter of an hour.",
        alert="CardinalityCapHit",
        may_be_empty="Every label value was declared.",
    )


def _prometheus(labels: dict[str, str]) -> Iterator[Panel]:
    yield Panel("Series in memory", (Query(summed(selected("prometheus_tsdb_head_series", _OWN)), "series"),))
    group = f'rule_group=~".*;{labels["service"]}(-.*)?"'
    duration = selected("prometheus_rule_group_last_duration_seconds", _OWN, group)
    yield Panel(
        "Time of a group of rules",
        (Query(highest(f"max by (rule_group) ({duration})"), "{{rule_group}}"),),
        unit="s",
        description="Each is evaluated every half minute, and must take less.",
    )
    failures = f"increase({selected('prometheus_rule_evaluation_failures_total', _OWN, group)}[15m])"
    yield Panel(
        "Rules that cannot be evaluated",
        (Query(summed(failures), "in a quarter of an hour"),),
        unit="none",
        alert="RuleEvaluationsFail",
    )
    sent, errors, dropped = (
        f"sum(rate({selected(f'prometheus_notifications_{name}_total', _OWN)}[{RATE_INTERVAL}])) or vector(0)"
        for name in ("sent", "errors", "dropped")
    )
    yield Panel(
        "Notifications to Alertmanager",
        (Query(sent, "sent"), Query(errors, "failed"), Query(dropped, "dropped")),
        unit="ops",
    )
    lost = f"sum(increase({selected('prometheus_notifications_dropped_total', _OWN)}[5m]))"
    yield Panel(
        "Alerts that nobody got",
        (Query(lost, "in five minutes"),),
        unit="none",
        description="Prometheus did not reach Alertmanager.",
        alert="NotificationsFail",
    )
