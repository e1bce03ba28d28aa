"""A service to check, declared afresh in each test, and the findings about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from roadworthy import Service, minutes
from roadworthy.check.app import App, Route
from roadworthy.check.declaration import check
from roadworthy.check.finding import Finding

APP = App(
    installed=True,
    routes=(
        Route("/search", frozenset({"GET", "HEAD"})),
        Route("/sites/{name}", frozenset({"GET", "HEAD"})),
        Route("/sites", frozenset({"POST"})),
    ),
)


@pytest.fixture
def service() -> Service:
    service = Service("shop", version="1.0.0", owner="sales")
    queue = service.queue("orders")

    @queue.job()
    async def ship(order: int) -> None: ...

    service.counter("orders_total", "Orders taken", labels={"paid": ("yes", "no"), "country": None})
    service.gauge("stock_items", "Items in stock", labels={"shelf": ("left", "right")})
    service.histogram("packing_seconds", "Time to pack an order", buckets=(0.5, 1, 30), labels={"shelf": None})
    return service


Findings = Callable[..., list[Finding]]


@pytest.fixture
def findings(service: Service) -> Findings:
    """Return what the rules find in `service`, of one rule where its id is given."""

    def find(rule: str | None = None, app: App | None = APP) -> list[Finding]:
        found = check(service.spec, app=app, place="shop.py:1")
        return [finding for finding in found if rule in (None, finding.rule)]

    return find


@pytest.fixture
def alert(service: Service, findings: Findings) -> Callable[..., list[str]]:
    """Return the ids of the rules that an alert on an expression trips."""

    def trip(expression: str, app: App | None = APP) -> list[str]:
        name = f"Alert{len(service.spec.alerts)}"
        service.alert(name, expr=expression, for_=minutes(1), severity="warning", runbook="Look.")
        return [finding.rule for finding in findings(app=app) if f"{name!r}" in finding.message]

    return trip
