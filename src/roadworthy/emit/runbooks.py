"""A page for each alert: what it means, what to look at, whom to call. What people write below it is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from roadworthy.emit.alert import Alert
from roadworthy.emit.durations import written
from roadworthy.emit.exporters import Exporters
from roadworthy.emit.prometheus import NO_EXPORTERS, WATCHDOG, rule_groups
from roadworthy.service import ServiceSpec

NOTES = "## Notes"
"""The heading below which everything is people's own."""

_INVITATION = "<!-- What stands from here on is yours, and stays when the page is emitted again. -->"
_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")
_VALUE = re.compile(r"\{\{ [^}]* \}\}")

_MEANS = {
    "critical": "It pages: people notice, or soon will.",
    "warning": "It goes to the chat: nobody notices yet, and somebody should look today.",
    "business": "It goes by mail: nothing is broken for certain, but what the service is for happens less.",
}


_WATCHDOG = f"""\
# {WATCHDOG}

It fires always, and pages nobody: whoever misses it knows that alerts do not arrive.

## What to do when it is missed

1. Does Prometheus run, and does it evaluate its rules? Its page /rules shows when it last did.
1. Does it reach Alertmanager? Its page /status names the ones that it knows.
1. Does Alertmanager run, and does it send? Its log has what a receiver refused.

{NOTES}

{_INVITATION}
"""


def runbooks(spec: ServiceSpec, exporters: Exporters = NO_EXPORTERS) -> Mapping[str, str]:
    """Return the page of each alert, by its path below where runbooks are: "service/Alert.md"."""
    pages: dict[str, list[Alert]] = {}
    for group in rule_groups(spec, exporters):
        for alert in group.alerts:
            pages.setdefault(alert.name, []).append(alert)
    made = {f"{spec.name}/{name}.md": "\n".join(_page(alerts, spec)) + "\n" for name, alerts in sorted(pages.items())}
    return made | {f"{WATCHDOG}.md": _WATCHDOG}


def with_notes(page: str, existing: str) -> str:
    """Return `page` with the notes of an `existing` one."""
    heading = f"\n{NOTES}\n"
    _, found, notes = existing.partition(heading)
    return page.partition(heading)[0] + heading + notes if found else page


def _page(alerts: Sequence[Alert], spec: ServiceSpec) -> Iterator[str]:
    first = alerts[0]
    yield f"# {first.name}"
    yield ""
    yield f"*{spec.name}, {' and '.join(dict.fromkeys(alert.severity for alert in alerts))}.* {first.summary}."
    yield ""
    yield "## What it means"
    yield ""
    for description in dict.fromkeys(_plain(alert.description) for alert in alerts):
        yield description if len(alerts) == 1 else f"- {description}"
    yield ""
    yield from dict.fromkeys(_MEANS[alert.severity] for alert in alerts)
    yield ""
    yield "## What to do first"
    yield ""
    for step in _steps(first.steps):
        yield f"1. {step}"
    yield ""
    yield "## What it looks at"
    yield ""
    yield "Ask Prometheus for each part by itself, and compare it with yesterday's:"
    for alert in alerts:
        yield ""
        yield f"```promql\n{alert.expression}\n```"
        held = f"once it has held for {written(alert.duration)}" if alert.duration else "at once"
        yield ""
        yield f"It fires {held} ({alert.severity})."
    yield ""
    yield "## If that does not help"
    yield ""
    owner = f", {spec.owner}" if spec.owner else ""
    yield f"Call the owner of {spec.name}{owner}. Say since when, what you saw, and what you tried."
    yield ""
    yield NOTES
    yield ""
    yield _INVITATION


def _steps(text: str) -> list[str]:
    """Return the sentences of a runbook, each a step."""
    return [step for step in re.split(r"(?<=[.?!])\s+(?=[A-Z`])", text.strip()) if step]


def _plain(text: str) -> str:
    """Return a description without its templates: a label's name stands for its value, an ellipsis for a number."""
    return _VALUE.sub("…", _LABEL.sub(r"`\1`", text))
