"""Prices and meters: what is refused, and for whom units are counted."""

from __future__ import annotations

from typing import Any, cast

import pytest

from roadworthy import DeclarationError, Service
from roadworthy.catalogue import catalogue
from roadworthy.cost.source import CURRENT_ROUTE
from roadworthy.errors import NotRunning
from roadworthy.jobs.current import CURRENT, CurrentJob
from roadworthy.jobs.engine import ClaimedJob
from roadworthy.telemetry.registry import MetricRegistry


class Bound:
    def __init__(self, service: Service) -> None:
        self.metrics = MetricRegistry(catalogue(service.spec))


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ({"cpu_hour": -1}, "cpu_hour=-1"),
        ({"memory_gib_hour": float("nan")}, "memory_gib_hour=nan"),
        ({"monthly_budget": 0}, "monthly_budget=0"),
        ({"currency": "euro"}, "'euro'"),
    ],
)
def test_prices_that_are_none_are_refused(prices: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        Service("shop").prices(**prices)


def test_a_meter_needs_a_plain_name_and_a_price() -> None:
    service = Service("shop")
    with pytest.raises(DeclarationError, match="OCR"):
        service.meter("OCR")
    with pytest.raises(DeclarationError, match="price=-1"):
        service.meter("pages", price=-1)
    service.meter("pages")
    with pytest.raises(DeclarationError, match="already declared"):
        service.meter("pages")


async def test_units_are_counted_for_the_route_the_job_or_neither() -> None:
    service = Service("shop")
    pages = service.meter("pages", price=0.01)
    with pytest.raises(NotRunning):
        pages.add()
    binding = Bound(service)

    def value(kind: str, name: str = "") -> float | None:
        return binding.metrics.value("metered_units_total", {"meter": "pages", "kind": kind, "name": name})

    async with service.bind(cast(Any, binding)):
        pages.add()
        route = CURRENT_ROUTE.set(lambda: "GET /pages/{page}")
        pages.add(3)
        claimed = ClaimedJob.__new__(ClaimedJob)
        object.__setattr__(claimed, "job", "read")
        job = CURRENT.set(CurrentJob(claimed, None))
        pages.add(2)
        CURRENT.reset(job)
        CURRENT_ROUTE.reset(route)
    assert (value("other"), value("route", "GET /pages/{page}"), value("job", "read")) == (1, 3, 2)
