"""The board of objectives: what was promised, what is left of each error budget, and how fast it goes."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.emit.dashboard import Dashboard, Panel, Query, Row, Threshold
from roadworthy.emit.dashboards.overview import NO_EVENTS, firing
from roadworthy.emit.durations import written
from roadworthy.emit.indicator import selected
from roadworthy.emit.objectives import BAD_EVENTS, BUDGET, EVENTS, INTERVAL, ratio
from roadworthy.objectives.burn import rows
from roadworthy.objectives.spec import ObjectiveSpec
from roadworthy.service import ServiceSpec


def objectives(spec: ServiceSpec) -> Dashboard | None:
    """Return the board of a service's objectives, one row for each, or None without any."""
    if not spec.objectives:
        return None
    found = (
        Row(f"{objective.name}: {objective.objective * 100:.12g} %", tuple(_panels(objective, spec.name)))
        for objective in spec.objectives
    )
    return Dashboard("objectives", "Objectives", tuple(found))


def _panels(objective: ObjectiveSpec, service: str) -> Iterator[Panel]:
    labels = {"service": service, "slo": objective.name}
    yield Panel(
        "Budget left",
        (Query(selected(BUDGET, labels), "of thirty days"),),
        unit="percentunit",
        shape="stat",
        threshold=Threshold(0, "below"),
        may_be_empty=NO_EVENTS,
    )
    yield Panel(
        "Events",
        (Query(_counted(EVENTS, labels), "in the last hour"),),
        unit="short",
        shape="stat",
        may_be_empty=NO_EVENTS,
    )
    yield Panel(
        "Bad events",
        (Query(_counted(BAD_EVENTS, labels), "in the last hour"),),
        unit="short",
        shape="stat",
        may_be_empty=NO_EVENTS,
    )
    yield firing(labels)
    name = "".join(part.capitalize() for part in objective.name.split("-"))
    for row in rows(objective):
        windows = (row.long, row.short)
        yield Panel(
            f"Bad events over {written(row.long)}",
            tuple(Query(selected(ratio(window), labels), f"over {written(window)}") for window in windows),
            unit="percentunit",
            description="The share of events that was bad. The alert fires while both are above its threshold, and "
            f"there were {objective.minimum_events} events.",
            alert=f"{name}BudgetBurn",
            alert_labels={"long": written(row.long)},
            may_be_empty=NO_EVENTS,
        )


def _counted(rate: str, labels: dict[str, str]) -> str:
    """Return how many events there were in an hour, of what is recorded of them a second."""
    return f"sum_over_time({selected(rate, labels)}[1h]) * {INTERVAL.total_seconds():g}"
