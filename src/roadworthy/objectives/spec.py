"""The declarations of promises: service level objectives and alerts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from roadworthy.errors import DeclarationError

Severity = Literal["critical", "warning", "business"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "business")

ObjectiveKind = Literal["availability", "latency", "job success", "job latency", "freshness", "quality"]
"""What an objective promises: of requests or a histogram, of jobs, of what is kept up to date, of events by a label."""

_ROUTE = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/\S*)")
_OBJECTIVE_NAME = re.compile(r"[a-z][a-z0-9-]*")
_SERIES = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})?")
_VALUES = re.compile(r"(?=.*[0-9_a])(?:[-+0-9.eExX_ ]|stale|NaN|Inf)+")
_ALERT_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """A service level objective: the share of events, between 0 and 1, that are to be good.

    What an event is, and a good one, goes by what is named; see `kind`. Without anything an event is a request and good
    means that it was not answered with a 5xx. With `under` good means within that time, by default of a request;
    `metric` names another histogram. `route` ("GET /search") narrows either to one route. `queue` has the events be
    jobs, of one kind with `job`: those that succeed or, with `under`, begin within that time. With `fresh`, a gauge,
    they are moments: good where what it tells of was brought up to date `within` so long. With `good`, they are what
    the counter `metric` counts: good under one of these values of each label. Alerts on it want `minimum_events` in
    their window, so that one bad event of a few calls nobody.
    """

    name: str
    objective: float
    under: timedelta | None = None
    route: str | None = None
    metric: str | None = None
    minimum_events: int = 20
    queue: str | None = None
    job: str | None = None
    fresh: str | None = None
    within: timedelta | None = None
    good: Mapping[str, tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        if not _OBJECTIVE_NAME.fullmatch(self.name):
            raise DeclarationError(f"objective name {self.name!r} must match [a-z][a-z0-9-]*; rename it")
        if not 0 < self.objective < 1:
            raise DeclarationError(
                f"objective {self.name!r} is {self.objective}; "
                "it is a share of good events, between 0 and 1 (99.9 % is 0.999)"
            )
        if self.minimum_events < 1:
            raise DeclarationError(
                f"objective {self.name!r} has minimum_events={self.minimum_events}; it must be at least 1"
            )
        for argument, length in (("under", self.under), ("within", self.within)):
            if length is not None and length <= timedelta(0):
                raise DeclarationError(
                    f"objective {self.name!r} has {argument}={length}; it must be longer than nothing"
                )
        if self.route is not None and not _ROUTE.fullmatch(self.route):
            raise DeclarationError(
                f"objective {self.name!r} has route={self.route!r}; write a method and a path, as in 'GET /search'"
            )
        self._refuse_incomplete()
        self._refuse_mixed()

    def _refuse_incomplete(self) -> None:
        if self.metric is not None and self.under is None and self.good is None:
            raise DeclarationError(
                f"objective {self.name!r} measures {self.metric!r}; say within what time with under=, or which of its "
                "events are good with good="
            )
        if self.job is not None and self.queue is None:
            raise DeclarationError(f"objective {self.name!r} has job={self.job!r}; say of which queue with queue=")
        if self.job is not None and self.under is not None:
            raise DeclarationError(
                f"objective {self.name!r} has job= and under=; how long jobs wait is measured of a whole queue, so "
                "leave job= out, or promise that the job succeeds"
            )
        if self.fresh is not None and self.within is None:
            raise DeclarationError(f"objective {self.name!r} has fresh={self.fresh!r}; say how old it may be: within=")
        if self.within is not None and self.fresh is None:
            raise DeclarationError(
                f"objective {self.name!r} has within= without fresh=; name the gauge that tells when, or write under="
            )
        if self.good is None:
            return
        if self.metric is None:
            raise DeclarationError(f"objective {self.name!r} has good=; name the counter that it is about with metric=")
        for label, values in self.good.items():
            if not values:
                raise DeclarationError(
                    f"objective {self.name!r} has good={{{label!r}: ()}}; list the values that are good, as in ('yes',)"
                )
        if not self.good:
            raise DeclarationError(
                f"objective {self.name!r} has good={{}}; name a label with its good values, as in {{'found': ('yes',)}}"
            )

    def _refuse_mixed(self) -> None:
        """Refuse what is about two kinds of events at once."""
        about = {
            "route": self.route,
            "metric": self.metric if self.good is None else None,
            "queue": self.queue,
            "fresh": self.fresh,
            "good": self.good,
        }
        given = [argument for argument, value in about.items() if value is not None]
        if len(given) > 1:
            raise DeclarationError(
                f"objective {self.name!r} has both {given[0]}= and {given[1]}=, which are about different events; "
                "make two objectives of it"
            )
        if self.under is not None and given and given[0] in ("fresh", "good"):
            raise DeclarationError(
                f"objective {self.name!r} has under= and {given[0]}=, which say in two ways what is good; leave one out"
            )

    @property
    def kind(self) -> ObjectiveKind:
        """What is promised."""
        if self.fresh is not None:
            return "freshness"
        if self.good is not None:
            return "quality"
        if self.queue is not None:
            return "job success" if self.under is None else "job latency"
        return "availability" if self.under is None else "latency"

    @property
    def about_requests(self) -> bool:
        """Whether its events are requests."""
        return self.metric is None and self.kind in ("availability", "latency")

    @property
    def tells_moment(self) -> bool:
        """Whether the gauge `fresh` tells when something was brought up to date, rather than how long ago."""
        return self.fresh is not None and self.fresh.endswith("_timestamp_seconds")

    @property
    def route_parts(self) -> tuple[str, str] | None:
        """The route's method and path template, or None."""
        if self.route is None:
            return None
        method, _, path = self.route.partition(" ")
        return method, path


@dataclass(frozen=True, slots=True)
class AlertExample:
    """A case to test an alert with: series that are scraped each 30 s, by what makes it fire and what must not.

    `fires` and `quiet` map series to values in promtool's notation, as in {"orders_total": "0+60x100"}. With `fires`
    the alert's expression is true from `after` on, with `quiet` it never is. `labels` are those that the alert then
    has from its series, `rendered` is what templates in its texts come to.
    """

    fires: Mapping[str, str]
    quiet: Mapping[str, str]
    after: timedelta = timedelta(0)
    labels: Mapping[str, str] = field(default_factory=dict)
    rendered: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, series in (("fires", self.fires), ("quiet", self.quiet)):
            for one, values in series.items():
                if not _SERIES.fullmatch(one) or not _VALUES.fullmatch(values):
                    raise DeclarationError(
                        f"an alert's example has {name}={{{one!r}: {values!r}}}; write a series and its values as "
                        "promtool reads them, as in {'orders_total{paid=\"card\"}': '0+60x100'}"
                    )
        if self.after < timedelta(0):
            raise DeclarationError(f"an alert's example has after={self.after}; it must not be negative")


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """An alert: a PromQL expression that, once true for `duration`, tells people; `runbook` says what to look at."""

    name: str
    expression: str
    duration: timedelta
    severity: Severity
    runbook: str
    summary: str
    example: AlertExample | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not _ALERT_NAME.fullmatch(self.name):
            raise DeclarationError(f"alert name {self.name!r} must be in CamelCase, as in 'LowSearchVolume'; rename it")
        if not self.expression.strip():
            raise DeclarationError(f"alert {self.name!r} has an empty expression; write the PromQL that should be true")
        if self.duration < timedelta(0):
            raise DeclarationError(f"alert {self.name!r} has for_={self.duration}; it must not be negative")
        if self.severity not in SEVERITIES:
            raise DeclarationError(
                f"alert {self.name!r} has severity {self.severity!r}; it must be one of {', '.join(SEVERITIES)}"
            )
        if not self.runbook.strip():
            raise DeclarationError(f"alert {self.name!r} has no runbook; write what to look at first when it fires")
