"""What is held against the week before, tested by Prometheus's own tool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from roadworthy import DeclarationError, Service, days
from roadworthy.emit.monitoring import monitoring_files
from roadworthy.emit.prometheus import rule_groups


def shop() -> Service:
    service = Service("shop", owner="sales")
    orders = service.counter("orders_total", "Orders.", labels={"paid": ("card", "invoice", "no")})
    service.alert_when_low("LowOrders", orders, where={"paid": ("card", "invoice")}, below=0.8, runbook="Order.")
    confidence = service.gauge("confidence_mean", "Mean confidence.", labels={"source": None}, across="max")
    quality = service.histogram("scan_quality", "Quality of scans.", buckets=(10, 50, 100))
    service.alert_when_drifting(confidence, runbook="Which source?")
    service.alert_when_drifting(quality, minimum=12, runbook="Which scanner?")
    return service


def busy() -> Service:
    service = Service("shop", owner="sales")
    service.database()
    service.activity("shoppers", floor=7)
    return service


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("declared", "names"),
    [(shop, ("LowOrders", "QualityDrift")), (busy, ("LowDailyActiveUsers", "HighChurnRate"))],
    ids=["measures", "activity"],
)
def test_each_alert_fires_when_it_should_and_no_sooner(
    tmp_path: Path, declared: Callable[[], Service], names: tuple[str, ...]
) -> None:
    for path, text in monitoring_files(declared().spec).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    rules, tests = (tmp_path / f"prometheus/{kind}/shop-weekly.yml" for kind in ("rules", "tests"))
    assert all(f"{name} fires" in tests.read_text() for name in names)
    for command in (["check", "rules", "--lint-fatal", rules], ["test", "rules", tests]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_week_is_not_read_as_often_as_all_else() -> None:
    *_, weekly, everything = rule_groups(shop().spec)
    assert (weekly.name, weekly.interval / everything.interval) == ("shop-weekly", 10)
    assert not {alert.name for alert in weekly.alerts} & {alert.name for alert in everything.alerts}


def test_a_service_without_such_alerts_has_no_group_of_them() -> None:
    assert [group.name for group in rule_groups(Service("shop").spec)] == ["shop"]


def test_what_cannot_work_is_refused() -> None:
    service = Service("shop")
    orders = service.counter("orders_total", "Orders.", labels={"paid": ("card", "no")})
    with pytest.raises(DeclarationError, match="CamelCase"):
        service.alert_when_low("low_orders", orders, runbook="Look.")
    with pytest.raises(DeclarationError, match="between 0 and 1"):
        service.alert_when_low("LowOrders", orders, below=1.5, runbook="Look.")
    with pytest.raises(DeclarationError, match="at least 1"):
        service.alert_when_low("LowOrders", orders, floor=0, runbook="Look.")
    with pytest.raises(DeclarationError, match="no runbook"):
        service.alert_when_low("LowOrders", orders, runbook=" ")
    with pytest.raises(DeclarationError, match="name one of: paid"):
        service.alert_when_low("LowOrders", orders, where={"payed": ("card",)}, runbook="Look.")
    with pytest.raises(DeclarationError, match="card, no"):
        service.alert_when_low("LowOrders", orders, where={"paid": ("cash",)}, runbook="Look.")
    size = service.gauge("basket_items", "Items.")
    with pytest.raises(DeclarationError, match="only rises"):
        service.alert_when_drifting(orders, runbook="Look.")  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="above 0"):
        service.alert_when_drifting(size, deviations=0, runbook="Look.")
    with pytest.raises(DeclarationError, match="no runbook"):
        service.alert_when_drifting(size, runbook="")
    service.alert_when_drifting(size, runbook="Look.")
    with pytest.raises(DeclarationError, match="already declared"):
        service.alert_when_drifting(size, runbook="Look.")


def test_who_is_active_is_kept_in_a_database_and_for_as_long_as_it_takes_to_see_who_leaves() -> None:
    service = Service("shop")
    with pytest.raises(DeclarationError, match=r"service.database\(\)"):
        service.activity("shoppers")
    service.database()
    for arguments, says in (
        ({"name": "Shoppers"}, "rename it"),
        ({"name": "shoppers", "keep": days(30)}, "90 days"),
        ({"name": "shoppers", "floor": 0}, "at least 1"),
    ):
        with pytest.raises(DeclarationError, match=says):
            service.activity(**arguments)  # type: ignore[arg-type]
