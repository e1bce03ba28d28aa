"""Alerts on the monitor itself: what it cannot evaluate or does not deliver, nobody hears of."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import INTERVAL
from roadworthy.objectives.spec import AlertExample

RULE_FAILURES = "prometheus_rule_evaluation_failures_total"
DROPPED = "prometheus_notifications_dropped_total"
FAILED = "alertmanager_notifications_failed_total"


def monitor_alerts() -> Iterator[Alert]:
    """Yield the alerts on Prometheus and Alertmanager, which the emitted configuration scrapes as well."""
    failing = selected(RULE_FAILURES, {"rule_group": "rules/shop.yml;shop"})
    yield Alert(
        "RuleEvaluationsFail",
        f"sum by (rule_group) (increase({RULE_FAILURES}[5m])) > 0",
        minutes(5),
        "warning",
        "Prometheus cannot evaluate a rule",
        "Rules of {{ $labels.rule_group }} fail: the alerts in it do not fire, whatever happens.",
        "Prometheus names the rule and its error at /rules. Mostly two series match where one was expected, after a "
        "second target was added: emit and deploy the rules again. Has Prometheus too little memory or too slow a "
        "disk? Then all groups fail now and then.",
        example=AlertExample(
            {failing: "0+1x60"},
            {failing: "7x60"},
            INTERVAL,
            {"rule_group": "rules/shop.yml;shop"},
            {"{{ $labels.rule_group }}": "rules/shop.yml;shop"},
        ),
    )
    undelivered = selected(FAILED, {"integration": "pagerduty", "reason": "other"})
    yield Alert(
        "NotificationsFail",
        f"sum by (integration) (increase({FAILED}[5m])) > 0\nor sum by (integration) (increase({DROPPED}[5m])) > 0",
        minutes(5),
        "critical",
        "Alerts do not reach people",
        "Alertmanager cannot deliver by {{ $labels.integration }}; where none is named, Prometheus does not reach "
        "Alertmanager. People are not told of what fires.",
        "Read Alertmanager's log: it has the answer that it got. Is the secret in its file still valid "
        "(secrets/pagerduty-routing-key, secrets/slack-webhook)? Can it reach the address? Until it works, look at "
        "Alertmanager's own page for what fires.",
        example=AlertExample(
            {undelivered: "0+1x60"},
            {undelivered: "7x60"},
            INTERVAL,
            {"integration": "pagerduty"},
            {"{{ $labels.integration }}": "pagerduty"},
        ),
    )
