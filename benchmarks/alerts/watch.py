"""What Prometheus and Alertmanager say of each alert over time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from .monitors import Monitors
from .receivers import Receiver

_EVERY = 0.4
RECEIVERS: Mapping[str, Receiver] = {"critical": "page", "warning": "chat", "business": "mail"}
_COMMON = frozenset({"service", "severity", "owner", "slo", "short"})


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert's rule as Prometheus has it. `title` tells it from others of its name; `duration` is compressed."""

    title: str
    name: str
    service: str
    severity: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    duration: float

    @property
    def receiver(self) -> Receiver:
        """Who is to be told, by the severity."""
        return RECEIVERS[self.severity]

    @property
    def about(self) -> tuple[str, str]:
        """How a message names it."""
        return self.service, self.name

    @property
    def group(self) -> tuple[str, str, str]:
        """What Alertmanager tells in one message."""
        return self.service, self.name, self.severity


def title(name: str, labels: Mapping[str, str]) -> str:
    """Return an alert's name, with the labels that tell its rules apart."""
    return " ".join([name, *(value for label, value in sorted(labels.items()) if label not in _COMMON)])


def rules_of(answered: Iterable[Mapping[str, Any]], service: str) -> dict[str, Rule]:
    """Return the alerts of a service among Prometheus' rules, by title."""
    found = {}
    for rule in answered:
        labels = rule.get("labels", {})
        if rule["type"] == "alerting" and labels.get("service") == service:
            name = title(rule["name"], labels)
            found[name] = Rule(
                name, rule["name"], service, labels["severity"], labels, rule["annotations"], rule["duration"]
            )
    return found


@dataclass(frozen=True, slots=True)
class Muting:
    """An alert that Alertmanager told nobody of, and one that it held for the reason."""

    source: Mapping[str, str]
    target: Mapping[str, str]

    @property
    def allowed(self) -> bool:
        """Whether the one makes the other needless: the same queue's, or the same objective's fast burn."""
        source, target = self.source, self.target
        same = source["service"] == target["service"]
        if (source["alertname"], target["alertname"]) == ("OldestJobAge", "WorkerQueueBacklog"):
            return same and source["queue"] == target["queue"] != ""
        slow = (source["severity"], target["severity"]) == ("critical", "warning")
        return same and slow and source.get("slo", "") == target.get("slo") != ""


@dataclass(slots=True)
class Watch:
    """Notes since when each alert of a service fires, and whatever is muted; times are time.monotonic()'s."""

    monitors: Monitors
    service: str
    firing: dict[str, float] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)
    muted: dict[tuple[str, str], Muting] = field(default_factory=dict)
    unhealthy: dict[str, str] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def over(cls, monitors: Monitors, service: str) -> AsyncIterator[Watch]:
        """Watch within an `async with`."""
        watch = cls(monitors, service)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(watch._look_on())
            try:
                yield watch
            finally:
                looking.cancel()

    async def rules(self) -> dict[str, Rule]:
        """Return the service's alerts, by title."""
        return rules_of(await self.monitors.rules(), self.service)

    async def until(self, holds: Callable[[], bool], within: float) -> bool:
        """Wait until `holds()`, at most so many seconds; return whether it does."""
        patience = time.monotonic() + within
        while not holds():
            if time.monotonic() > patience:
                return False
            await asyncio.sleep(0.1)
        return True

    async def _look_on(self) -> None:
        while True:
            # A look that fails is had again.
            with suppress(httpx.HTTPError):
                await self._look()
            await asyncio.sleep(_EVERY)

    async def _look(self) -> None:
        answered = await self.monitors.rules()
        now = time.monotonic()
        for rule in answered:
            if rule["health"] == "err" or rule.get("lastError"):
                self.unhealthy[rule["name"]] = rule.get("lastError", rule["health"])
            if rule["type"] != "alerting" or rule["labels"].get("service") != self.service:
                continue
            name = title(rule["name"], rule["labels"])
            if any(alert["state"] == "firing" for alert in rule["alerts"]):
                self.firing.setdefault(name, now)
                self.ever.add(name)
            else:
                self.firing.pop(name, None)
        self.note_muted(await self.monitors.alerts())

    def note_muted(self, alerts: Iterable[Mapping[str, Any]]) -> set[str]:
        """Note which of Alertmanager's alerts are muted by which; return the fingerprints of those muted."""
        known = {alert["fingerprint"]: alert["labels"] for alert in alerts}
        found = set()
        for alert in alerts:
            for source in alert["status"]["inhibitedBy"]:
                if source in known:
                    muting = Muting(known[source], alert["labels"])
                    names = (title_of(muting.source), title_of(muting.target))
                    self.muted[names] = muting
                    found.add(alert["fingerprint"])
        return found


def title_of(labels: Mapping[str, str]) -> str:
    """Return how an alert that fires is called, by all its labels."""
    return title(labels["alertname"], {name: value for name, value in labels.items() if name in ("queue", "long")})
