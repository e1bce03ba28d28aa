"""The first board to look at: whether promises are kept, what is wrong, and where to look next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from roadworthy.emit.dashboard import Dashboard, Panel, Query, Row, Threshold, Variable
from roadworthy.emit.dashboards.expressions import highest, or_nothing, quantile, rate, summed
from roadworthy.emit.dashboards.processes import machine_panels, process_panels
from roadworthy.emit.durations import written
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import BUDGET, ratio
from roadworthy.health.metrics import STATUS
from roadworthy.jobs.metrics import QUEUE_DEAD, QUEUE_OLDEST_READY, QUEUE_READY
from roadworthy.objectives.burn import ROWS, rows
from roadworthy.objectives.spec import ObjectiveSpec
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.metrics import (
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS,
    HTTP_REQUESTS_IN_PROGRESS,
    INFORMATION,
)

HEALTH = {-1: "unknown", 0: "pass", 1: "warn", 2: "fail"}

NO_EVENTS = "Nothing is known of an objective before its first event."


def overview(spec: ServiceSpec) -> Dashboard:
    """Return the board of a service as a whole."""
    labels = {"service": spec.name}
    found = [Row("Now", tuple(_now(labels)))]
    if spec.objectives:
        found.append(Row("Promises", tuple(_promises(spec))))
    if spec.app is not None:
        found.append(Row("Requests", tuple(_requests(labels))))
    if spec.queues:
        found.append(Row("Jobs", tuple(_jobs(labels))))
    found.append(Row("Processes", tuple(process_panels(labels))))
    found.append(Row("Machine", tuple(machine_panels(labels))))
    variables = (Variable("process", selected("process_cpu_seconds_total", labels)),)
    return Dashboard("overview", "System overview", tuple(found), variables)


def firing(labels: dict[str, str]) -> Panel:
    """Return the list of the alerts that fire and that have `labels`."""
    alerts = selected("ALERTS", {**labels, "alertstate": "firing"})
    return Panel(
        "Alerts that fire",
        (Query(summed(alerts, "alertname", "severity"), "{{alertname}} ({{severity}})"),),
        unit="none",
        shape="table",
        may_be_empty="No alert fires.",
    )


def _now(labels: dict[str, str]) -> Iterator[Panel]:
    alerts = selected("ALERTS", {**labels, "alertstate": "firing"})
    yield Panel(
        "Alerts firing",
        (Query(or_nothing(f"count({alerts})")),),
        unit="none",
        shape="stat",
        threshold=Threshold(1),
    )
    yield Panel(
        "Scraped",
        (Query(f"min by (instance) ({selected('up', labels)})", "{{instance}}"),),
        unit="none",
        description="Whether Prometheus gets an answer from each operations port.",
        shape="stat",
        alert="TargetDown",
        values={0: "down", 1: "up"},
    )
    yield Panel(
        "Health",
        (Query(f"max by (check) ({selected(STATUS.name, labels)})", "{{check}}"),),
        unit="none",
        description="What each check has settled on; /health on the operations port says why.",
        shape="stat",
        alert="HealthCheckFailing",
        values=HEALTH,
    )
    versions = summed(selected(INFORMATION.name, labels), "service_version", "version")
    yield Panel(
        "Versions",
        (Query(versions, "{{service_version}}, Roadworthy {{version}}"),),
        unit="none",
        description="The operations ports by the version that runs behind them; two while a deploy is under way.",
        shape="stat",
    )
    yield firing(labels)


def _promises(spec: ServiceSpec) -> Iterator[Panel]:
    yield Panel(
        "Objectives",
        tuple(Query(f"vector({objective.objective:.12g})", objective.name) for objective in spec.objectives),
        unit="percentunit",
        description="The share of events that is to be good.",
        shape="stat",
    )
    yield Panel(
        "Error budget left",
        (Query(f"min by (slo) ({selected(BUDGET, {'service': spec.name})})", "{{slo}}"),),
        unit="percentunit",
        description="What is left of the bad events that thirty days may have; below 0 the promise is broken.",
        shape="stat",
        threshold=Threshold(0, "below"),
        may_be_empty=NO_EVENTS,
    )
    for row in ROWS:
        measured = [objective for objective in spec.objectives if row in rows(objective)]
        if measured:
            yield _burn(measured, spec.name, row.long)


def _burn(objectives: list[ObjectiveSpec], service: str, window: timedelta) -> Panel:
    queries = (
        Query(
            f"{selected(ratio(window), {'service': service, 'slo': objective.name})} / {1 - objective.objective:.12g}",
            objective.name,
        )
        for objective in objectives
    )
    return Panel(
        f"Burn rate over {written(window)}",
        tuple(queries),
        unit="none",
        description="How many times faster than evenly each error budget is used up; 1 lasts for thirty days.",
        may_be_empty=NO_EVENTS,
    )


def _requests(labels: dict[str, str]) -> Iterator[Panel]:
    requests = HTTP_REQUESTS.name
    five = 'status=~"5.."'
    yield Panel("Requests", (Query(rate(requests, labels), "all"),), unit="reqps")
    every = rate(requests, labels, window="5m")
    yield Panel(
        "Requests that fail",
        (Query(f"{or_nothing(rate(requests, labels, five, window='5m'))} / {every}", "answered with 5xx"),),
        unit="percentunit",
        description="The share of requests in five minutes that was answered with a 5xx.",
        alert="HighAPIErrorRate",
    )
    shares = ((0.5, "half"), (0.95, "19 in 20"), (0.99, "99 in 100"))
    durations = HTTP_REQUEST_DURATION.name
    yield Panel(
        "Time to answer",
        tuple(Query(quantile(share, durations, labels), f"{name} are faster") for share, name in shares),
        unit="s",
    )
    yield Panel(
        "Requests under way",
        (Query(summed(selected(HTTP_REQUESTS_IN_PROGRESS.name, labels)), "being answered"),),
        unit="none",
    )


def _jobs(labels: dict[str, str]) -> Iterator[Panel]:
    ready = f"max by (queue) ({selected(QUEUE_READY.name, labels)})"
    yield Panel("Jobs that wait", (Query(highest(ready), "{{queue}}"),), unit="short", alert="WorkerQueueBacklog")
    oldest = selected(QUEUE_OLDEST_READY.name, labels)
    waited = f"max by (queue) (timestamp({oldest}) - {oldest})"
    yield Panel("Longest wait", (Query(highest(waited), "{{queue}}"),), unit="s")
    dead = f"max by (queue) ({selected(QUEUE_DEAD.name, labels)})"
    yield Panel("Dead letters", (Query(highest(dead), "{{queue}}"),), unit="short")
