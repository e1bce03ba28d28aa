"""What Alertmanager is given: who hears of what, and which alert makes another one needless.

An inhibition compares labels, and two alerts that both lack one have it in common: so each names, on both sides, the
labels that must be there (https://github.com/prometheus/alertmanager/issues/507). Secrets are read from files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from roadworthy.duration import days, hours, minutes, seconds
from roadworthy.emit.durations import written
from roadworthy.emit.prometheus import HEADER, WATCHDOG
from roadworthy.emit.yaml import Value, document

PAGE, CHAT, MAIL, SWITCH = "page", "chat", "mail", "dead-mans-switch"


@dataclass(frozen=True, slots=True)
class Mail:
    """Who is written to, by whom, through which server ("host:port"); `tls=False` is for a relay that speaks none."""

    to: str
    sender: str
    server: str
    tls: bool = True


@dataclass(frozen=True, slots=True)
class Receivers:
    """Where alerts go. Paths are of files that hold a secret, by where Alertmanager is started.

    `pages` holds PagerDuty's routing key, `pager` is the address of its events where that is not Alertmanager's default
    (in the EU, or of what speaks its protocol). `chat` holds Slack's webhook, `channel` is the channel there. Without
    `mail`, what is of business goes to the chat. `switch` is the address that the dead man's switch calls each minute,
    and that tells somebody when it is not called.
    """

    pages: str = "secrets/pagerduty-routing-key"
    pager: str | None = None
    chat: str = "secrets/slack-webhook"
    channel: str = "#alerts"
    mail: Mail | None = None
    switch: str | None = None


def configuration(receivers: Receivers) -> str:
    """Return alertmanager.yml: critical alerts page, warnings go to a chat, those of business by mail."""
    business = CHAT if receivers.mail is None else MAIL
    switch = [] if receivers.switch is None else [_route("alertname", WATCHDOG, SWITCH, seconds(0), minutes(1))]
    silent = [] if switch else [_route("alertname", WATCHDOG, "nobody", minutes(5), days(7))]
    content: dict[str, Value] = {
        "route": {
            "receiver": CHAT,
            "group_by": ["service", "alertname"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": [
                *switch,
                *silent,
                _route("severity", "critical", PAGE, seconds(10), hours(1)),
                _route("severity", "business", business, minutes(5), days(1)),
                _route("severity", "warning", CHAT, seconds(30), hours(4)),
            ],
        },
        "inhibit_rules": _inhibitions(),
        "receivers": _receivers(receivers),
    }
    return document(content, HEADER)


def _route(label: str, value: str, receiver: str, wait: timedelta, repeat: timedelta) -> Value:
    route: dict[str, Value] = {
        "matchers": [f'{label}="{value}"'],
        "receiver": receiver,
        "group_wait": written(wait),
        "repeat_interval": written(repeat),
    }
    if receiver == SWITCH:
        route["group_interval"] = written(repeat)
    return route


def _inhibitions() -> list[Value]:
    return [
        # A budget that is used up fast is used up slowly as well.
        _inhibition({"severity": "critical"}, {"severity": "warning"}, "slo"),
        # That a queue is long is no news once it is late.
        _inhibition({"alertname": "OldestJobAge"}, {"alertname": "WorkerQueueBacklog"}, "queue"),
    ]


def _inhibition(source: Mapping[str, str], target: Mapping[str, str], about: str) -> Value:
    present = ['service=~".+"', f'{about}=~".+"']
    return {
        "source_matchers": [*(f'{label}="{value}"' for label, value in source.items()), *present],
        "target_matchers": [*(f'{label}="{value}"' for label, value in target.items()), *present],
        "equal": ["service", about],
    }


def _receivers(receivers: Receivers) -> list[Value]:
    # Rules of one name have summaries of their own, and of those that differ there is no common one.
    title = "{{ .CommonLabels.service }} {{ .CommonLabels.alertname }}: {{ (index .Alerts 0).Annotations.summary }}"
    body = "{{ range .Alerts }}{{ .Annotations.description }} {{ .Annotations.runbook_url }}\n{{ end }}"
    over = '{{ if eq .Status "resolved" }}Over: {{ end }}'
    address: dict[str, Value] = {} if receivers.pager is None else {"url": receivers.pager}
    page: Value = {**address, "routing_key_file": receivers.pages, "description": title, "severity": "critical"}
    found: list[Value] = [
        {"name": PAGE, "pagerduty_configs": [page]},
        {
            "name": CHAT,
            "slack_configs": [
                {
                    "api_url_file": receivers.chat,
                    "channel": receivers.channel,
                    "send_resolved": True,
                    "title": over + title,
                    "text": body,
                }
            ],
        },
    ]
    if (mail := receivers.mail) is not None:
        plain: dict[str, Value] = {} if mail.tls else {"require_tls": False}
        email: Value = {"to": mail.to, "from": mail.sender, "smarthost": mail.server, **plain, "send_resolved": True}
        found.append({"name": MAIL, "email_configs": [email]})
    if receivers.switch is None:
        found.append({"name": "nobody"})
    else:
        found.append({"name": SWITCH, "webhook_configs": [{"url": receivers.switch, "send_resolved": False}]})
    return found
