"""The board of what a service costs."""

from __future__ import annotations

from roadworthy.emit.cost import FORECAST, RESOURCE, SOURCE, TOTAL
from roadworthy.emit.dashboard import Dashboard, Panel, Query, Row
from roadworthy.emit.indicator import selected
from roadworthy.objectives.panel import Unit
from roadworthy.service import ServiceSpec

_NOTHING_DONE = "Nothing was done within the last hour."


def cost(spec: ServiceSpec) -> Dashboard | None:
    """Return the board of what a service costs, or None where it declares no price."""
    rows = cost_rows(spec)
    return Dashboard("cost", "Cost", rows) if rows else None


def cost_rows(spec: ServiceSpec) -> tuple[Row, ...]:
    """Return the rows of what a service costs: in all, by resource, by route and by job."""
    if spec.prices is None and not spec.meters:
        return ()
    labels = {"service": spec.name}
    currency = "USD" if spec.prices is None else spec.prices.currency
    unit: Unit = "currencyUSD" if currency == "USD" else "none"
    month = Panel(
        "A month, as the last day was",
        (Query(selected(FORECAST, labels), currency),),
        unit=unit,
        description=f"In {currency}.",
        shape="stat",
        alert="CostBudgetBurn",
    )
    hour = Panel("An hour", (Query(selected(TOTAL, labels), currency),), unit=unit, description=f"In {currency}.")
    resources = Panel(
        "An hour, by resource", (Query(f"sum by (resource) ({selected(RESOURCE, labels)})", "{{resource}}"),), unit=unit
    )
    kinds = Panel(
        "An hour, by whose doing", (Query(f"sum by (kind) ({selected(SOURCE, labels)})", "{{kind}}"),), unit=unit
    )
    return (
        Row("What it costs", (month, hour)),
        Row("For what", (resources, kinds)),
        Row(
            "The dearest", tuple(_dearest(what, kind, labels) for what, kind in (("routes", "route"), ("jobs", "job")))
        ),
    )


def _dearest(what: str, kind: str, labels: dict[str, str]) -> Panel:
    cost = selected(SOURCE, {**labels, "kind": kind})
    return Panel(
        f"The dearest {what}, in an hour",
        (Query(f"topk(10, {cost})", "{{name}}"),),
        unit="none",
        shape="table",
        may_be_empty=_NOTHING_DONE,
    )
