"""What the results of checks mean: pure decisions, and the report in the shape of the health+json draft.

Liveness never depends on anything outside the process: a restart mends no database. Readiness depends on the process's
own state, and on those checks that opted in; if every replica is unready there is nobody left to answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Status = Literal["pass", "warn", "fail"]

CONTENT_TYPE = "application/health+json"

_HTTP = {"pass": 200, "warn": 200, "fail": 503}  # nosec B105  # no password: what passes


@dataclass(frozen=True, slots=True)
class HealthState:
    """What a process knows of itself: whether its startup is over, it is on its way out, or has more than it can do.

    One that is saturated is told of and stays ready: it turns away at once what it cannot do, and where every replica
    has too much, none could be spared.
    """

    started: bool = True
    draining: bool = False
    saturated: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of it, in words."""
        told = (("starting", not self.started), ("draining", self.draining), ("saturated", self.saturated))
        return tuple(word for word, holds in told if holds)


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that a check observed, as in ("queue:ready", "pass", 12, "jobs"); `output` says what is not well."""

    name: str
    status: Status = "pass"
    value: object = None
    unit: str | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found at `at` (UTC), after `latency` seconds, and `age` seconds ago.

    `critical` and `readiness` are the check's own: whether its failure fails the whole, and whether it makes the
    process unready.
    """

    name: str
    readings: tuple[Reading, ...]
    at: datetime
    latency: float
    critical: bool
    readiness: bool
    age: float = 0.0

    @property
    def status(self) -> Status:
        """The worst of the readings."""
        return _worst(reading.status for reading in self.readings)


def overall(results: Iterable[Result], state: HealthState | None = None) -> Status:
    """Return the status of the whole: only a critical check can fail it, any other failure is a warning."""
    found = ["warn" if result.status == "fail" and not result.critical else result.status for result in results]
    return _worst([*found, "warn"] if state is not None and state.saturated else found)


def readiness(state: HealthState, results: Iterable[Result]) -> Status:
    """Return whether requests should be sent here: `results` are those of the checks that opted in."""
    if not state.started or state.draining:
        return "fail"
    return "fail" if any(result.status == "fail" for result in results) else "pass"


def http_status(status: Status) -> int:
    """Return 200 for pass and warn, 503 for fail."""
    return _HTTP[status]


def document(
    status: Status, results: Iterable[Result] = (), *, service: str = "", version: str = "", notes: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Return the health+json object; `checks` maps each reading's name to a list of one."""
    report: dict[str, Any] = {"status": status}
    if notes:
        report["notes"] = list(notes)
    if service:
        report["serviceId"] = service
    if version:
        report["releaseId"] = version
    checks = {reading.name: [_component(result, reading)] for result in results for reading in result.readings}
    return report | ({"checks": checks} if checks else {})


def _component(result: Result, reading: Reading) -> dict[str, Any]:
    component: dict[str, Any] = {
        "componentId": result.name,
        "status": reading.status,
        "time": result.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "latency": round(result.latency, 6),
        "age": round(result.age, 3),
    }
    if reading.value is not None:
        component["observedValue"] = reading.value
    if reading.unit is not None:
        component["observedUnit"] = reading.unit
    if reading.output is not None:
        component["output"] = reading.output
    return component


def _worst(statuses: Iterable[Status]) -> Status:
    known = set(statuses)
    return "fail" if "fail" in known else "warn" if "warn" in known else "pass"
