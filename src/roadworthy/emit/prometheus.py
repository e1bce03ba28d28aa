"""What Prometheus is given: what to scrape, and the rules of a service.

Format: https://prometheus.io/docs/prometheus/latest/configuration/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.duration import seconds
from roadworthy.emit.alert import Alert
from roadworthy.emit.cost import cost_alerts, cost_rules
from roadworthy.emit.durations import written
from roadworthy.emit.exporters import Exporters, exporter_alerts, exporter_scrapes
from roadworthy.emit.objectives import INTERVAL, burn_alerts, recording_rules
from roadworthy.emit.ready import ready_alerts
from roadworthy.emit.weekly import weekly_alerts, weekly_rules
from roadworthy.emit.yaml import Value, document
from roadworthy.objectives.burn import PERIOD
from roadworthy.objectives.collection import RETENTION
from roadworthy.objectives.weekly import EVERY
from roadworthy.service import ServiceSpec

SCRAPE_TIMEOUT = seconds(10)
SAMPLES = 50_000
"""The most samples of one scrape, past which Prometheus refuses it: what goes wrong then is one service's."""

WATCHDOG = "Watchdog"
"""The alert that always fires: when it stops, alerts do not arrive any more."""

NO_EXPORTERS = Exporters()

HEADER = "Written by `roadworthy emit` from the declaration; change that, and emit again."


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """A group of rules in a file of its own: `name` is the file's, `recording` rules stand before the `alerts`.

    They are evaluated each `interval`.
    """

    name: str
    recording: tuple[Value, ...]
    alerts: tuple[Alert, ...]
    interval: timedelta = INTERVAL


def rule_groups(spec: ServiceSpec, exporters: Exporters = NO_EXPORTERS) -> tuple[RuleGroup, ...]:
    """Return the groups of a service: one of each objective, one of what it costs, and one of all other alerts.

    An objective's alerts stand in the group that records what they look at, so that they see it at the same moment.
    """
    objectives = (
        RuleGroup(
            f"{spec.name}-{objective.name}",
            tuple(recording_rules(objective, spec.name)),
            tuple(burn_alerts(objective, spec)),
        )
        for objective in spec.objectives
    )
    declared = [
        Alert(
            alert.name,
            alert.expression,
            alert.duration,
            alert.severity,
            alert.summary,
            alert.summary,
            alert.runbook,
            example=alert.example,
        )
        for alert in spec.alerts
    ]
    own = {alert.name for alert in declared}
    ready = (alert for alert in ready_alerts(spec) if alert.name not in own)
    cost = []
    if spec.prices is not None or spec.meters:
        budget = tuple(alert for alert in cost_alerts(spec) if alert.name not in own)
        cost = [RuleGroup(f"{spec.name}-cost", tuple(cost_rules(spec)), budget)]
    seen = tuple(alert for alert in exporter_alerts(exporters, spec.name) if alert.name not in own)
    others = [RuleGroup(f"{spec.name}-exporters", (), seen)] if seen else []
    weekly = tuple(alert for alert in weekly_alerts(spec) if alert.name not in own)
    slow = [RuleGroup(f"{spec.name}-weekly", tuple(weekly_rules(spec)), weekly, EVERY)] if weekly else []
    return (*objectives, *cost, *others, *slow, RuleGroup(spec.name, (), (*ready, *declared)))


def rules(group: RuleGroup, spec: ServiceSpec, runbooks: str) -> str:
    """Return the file of a group's rules. `runbooks` is the address below which runbooks are."""
    alerting = [_rule(alert, spec, runbooks) for alert in group.alerts]
    content = {"name": group.name, "interval": written(group.interval), "rules": [*group.recording, *alerting]}
    return document({"groups": [content]}, HEADER)


def watchdog(runbooks: str) -> str:
    """Return the file of the rule that always fires, for a dead man's switch."""
    rule: Value = {
        "alert": WATCHDOG,
        "expr": "vector(1)",
        "labels": {"service": "monitoring", "severity": "warning"},
        "annotations": {
            "summary": "Alerts arrive",
            "description": "This always fires. Whoever misses it knows that alerts do not arrive.",
            "runbook_url": f"{runbooks.rstrip('/')}/{WATCHDOG}.md",
        },
    }
    return document({"groups": [{"name": "watchdog", "rules": [rule]}]}, HEADER)


def configuration(
    spec: ServiceSpec,
    targets: Sequence[str],
    alertmanager: str,
    own: str = "127.0.0.1:9090",
    exporters: Exporters = NO_EXPORTERS,
) -> str:
    """Return prometheus.yml: scrapes the operations ports at `targets`, and tells the Alertmanager at `alertmanager`.

    `own` is where it listens itself; it and the Alertmanager are scraped to be watched as well, as are `exporters`.
    It is to be started with `--storage.tsdb.retention.time` of RETENTION at least.
    """
    return document(
        {
            "global": {
                "scrape_interval": written(INTERVAL),
                "scrape_timeout": written(SCRAPE_TIMEOUT),
                "evaluation_interval": written(INTERVAL),
            },
            "rule_files": [
                "rules/watchdog.yml",
                *(f"rules/{group.name}.yml" for group in rule_groups(spec, exporters)),
            ],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
            "scrape_configs": [
                {
                    "job_name": spec.name,
                    # A metric's own label `job` names a kind of job.
                    "honor_labels": True,
                    "sample_limit": SAMPLES,
                    "static_configs": [{"targets": list(targets), "labels": {"service": spec.name}}],
                },
                {"job_name": "prometheus", "static_configs": [{"targets": [own]}]},
                {"job_name": "alertmanager", "static_configs": [{"targets": [alertmanager]}]},
                *exporter_scrapes(exporters, spec.name),
            ],
        },
        HEADER,
        f"Start Prometheus with --storage.tsdb.retention.time={written(RETENTION)}: budgets are counted over "
        f"{PERIOD.days} days, and it keeps 15 by itself.",
    )


def labels_of(alert: Alert, spec: ServiceSpec) -> Mapping[str, str]:
    """Return the labels that an alert's rule gives it."""
    owner = {"owner": spec.owner} if spec.owner else {}
    return {"service": spec.name, "severity": alert.severity, **owner, **alert.labels}


def annotations_of(alert: Alert, spec: ServiceSpec, runbooks: str) -> Mapping[str, str]:
    """Return the annotations of an alert's rule, templates and all."""
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{runbooks.rstrip('/')}/{spec.name}/{alert.name}.md",
    }


def _rule(alert: Alert, spec: ServiceSpec, runbooks: str) -> Value:
    waited = {"for": written(alert.duration)} if alert.duration else {}
    return {
        "alert": alert.name,
        "expr": alert.expression,
        **waited,
        "labels": labels_of(alert, spec),
        "annotations": annotations_of(alert, spec, runbooks),
    }
