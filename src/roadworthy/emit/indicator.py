"""What an objective counts, in PromQL: all events, and the bad ones among them."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.objectives.spec import ObjectiveSpec
from roadworthy.telemetry.metrics import HTTP_REQUEST_DURATION, HTTP_REQUESTS
from roadworthy.telemetry.spec import bucket_label


@dataclass(frozen=True, slots=True)
class Indicator:
    """Two PromQL expressions of events a second over `window`, such as "5m": `total`, and `bad`.

    Without a bad event there may be no series of bad ones, so `bad` is 0 then and not missing.
    """

    total: str
    bad: str


def indicator(objective: ObjectiveSpec, service: str, window: str) -> Indicator:
    """Return what `objective` of `service` counts over `window`."""
    labels = {"service": service}
    if objective.route_parts is not None:
        labels["method"], labels["route"] = objective.route_parts
    if objective.under is None:
        failed = selected(HTTP_REQUESTS.name, labels, 'status=~"5.."')
        total = f"sum(rate({selected(HTTP_REQUESTS.name, labels)}[{window}]))"
        return Indicator(total, f"sum(rate({failed}[{window}])) or vector(0)")
    metric = objective.metric or HTTP_REQUEST_DURATION.name
    within = selected(f"{metric}_bucket", labels | {"le": bucket_label(objective.under.total_seconds())})
    total = f"sum(rate({selected(f'{metric}_count', labels)}[{window}]))"
    return Indicator(total, f"{total} - sum(rate({within}[{window}]))")


def selected(metric: str, labels: dict[str, str], *further: str) -> str:
    """Return a selector of `metric` whose labels have these values; `further` are matchers as they are written."""
    matchers = [f"{name}={quoted(value)}" for name, value in labels.items()]
    return f"{metric}{{{','.join([*matchers, *further])}}}"


def quoted(text: str) -> str:
    """Return a text as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
