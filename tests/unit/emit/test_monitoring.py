"""What is emitted for Prometheus and Alertmanager, read by their own tools."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from roadworthy import Service, minutes, seconds
from roadworthy.check.declaration import check
from roadworthy.emit.alertmanager import Mail, Receivers
from roadworthy.emit.monitoring import monitoring_files
from roadworthy.emit.prometheus import RETENTION, rule_groups
from roadworthy.emit.promtool import tests as promtool_tests
from roadworthy.objectives.burn import PERIOD
from roadworthy.objectives.spec import AlertSpec


def shop(*, objectives: bool = True) -> Service:
    service = Service("shop", owner="sales", app="shop.app:app")
    service.database()
    service.queue("mail", target_latency=seconds(5))
    service.queue("photos")
    service.cache("prices", ttl=minutes(5))
    service.limit("api", "100/minute")
    service.dependency("geocoder")
    service.shedding()
    service.counter("orders_total", "Orders taken.")
    if objectives:
        service.slo("availability", objective=0.999)
        service.slo("order-latency", objective=0.95, under=seconds(0.2), route="POST /orders")
    service.alert(
        "NobodyOrders",
        expr="sum(rate(orders_total[30m])) == 0",
        for_=minutes(30),
        severity="business",
        summary='Nobody orders: "a quiet day"?',
        runbook="Order something. If that works, is it a holiday?",
    )
    return service


def written(service: Service, to: Path, receivers: Receivers | None = None) -> Path:
    for path, text in monitoring_files(service.spec, receivers=receivers).items():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_text(text)
    return to


def passes(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def routed(config: Path, *labels: str) -> str:
    return passes("amtool", "config", "routes", "test", "--config.file", config, *labels).split()[0]


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_configuration_and_its_rules_without_a_complaint(tmp_path: Path) -> None:
    to = written(shop(), tmp_path)
    assert "SUCCESS" in passes("promtool", "check", "config", to / "prometheus/prometheus.yml")
    rules = sorted((to / "prometheus/rules").iterdir())
    assert {path.stem for path in rules} == {"shop", "shop-availability", "shop-order-latency", "watchdog"}
    passes("promtool", "check", "rules", "--lint-fatal", *rules)


@pytest.mark.needs("promtool")
def test_each_alert_that_comes_with_a_service_fires_when_it_should_and_no_sooner(tmp_path: Path) -> None:
    to = written(shop(objectives=False), tmp_path)
    assert "SUCCESS" in passes("promtool", "test", "rules", to / "prometheus/tests/shop.yml")


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("objective", ["availability", "order-latency"])
def test_each_row_of_a_burning_budget_fires_when_it_should_and_no_sooner(tmp_path: Path, objective: str) -> None:
    to = written(shop(), tmp_path)
    assert "SUCCESS" in passes("promtool", "test", "rules", to / f"prometheus/tests/shop-{objective}.yml")


@pytest.mark.needs("promtool")
def test_the_tests_fail_where_a_rule_is_wrong(tmp_path: Path) -> None:
    to = written(shop(objectives=False), tmp_path)
    rules = to / "prometheus/rules/shop.yml"
    rules.write_text(rules.read_text().replace("> 1000", "> 1001"))
    done = subprocess.run(
        ["promtool", "test", "rules", to / "prometheus/tests/shop.yml"], capture_output=True, timeout=100, check=False
    )
    assert done.returncode != 0


def test_each_alert_but_declared_ones_has_a_test() -> None:
    spec = shop().spec
    declared = {alert.name for alert in spec.alerts}
    for group in rule_groups(spec):
        tested = promtool_tests(group, spec, "runbooks")
        for alert in group.alerts:
            assert (f"{alert.name} fires" in tested) is (alert.name not in declared)


def test_what_is_emitted_of_a_services_parts_passes_the_check_that_its_own_alerts_pass() -> None:
    spec = shop().spec
    emitted = tuple(
        AlertSpec(alert.name, alert.expression, alert.duration, alert.severity, alert.steps, alert.summary)
        for alert in rule_groups(spec)[-1].alerts
    )
    findings = check(replace(spec, alerts=emitted), app=None)
    assert [finding for finding in findings if finding.message.startswith("alert ")] == []


def test_each_alert_says_whose_it_is_how_bad_it_is_and_what_to_do() -> None:
    spec = shop().spec
    files = monitoring_files(spec, runbooks_at="https://shop.example/runbooks/")
    for group in rule_groups(spec):
        rules = files[f"prometheus/rules/{group.name}.yml"]
        for alert in group.alerts:
            assert f"https://shop.example/runbooks/shop/{alert.name}.md" in rules
            assert f"runbooks/shop/{alert.name}.md" in files
        assert rules.count("- alert: ") == rules.count("owner: sales") == rules.count("runbook_url: ")


def test_samples_are_kept_for_as_long_as_a_budget_is_counted() -> None:
    configuration = monitoring_files(shop().spec)["prometheus/prometheus.yml"]
    assert PERIOD + timedelta(hours=1) < RETENTION
    assert "--storage.tsdb.retention.time=35d" in configuration


def test_the_same_declaration_gives_the_same_files() -> None:
    assert monitoring_files(shop().spec) == monitoring_files(shop().spec)


def test_a_services_own_alert_stands_for_the_one_of_its_name_that_comes_with_it() -> None:
    service = Service("shop")
    service.alert("TargetDown", expr="up == 0", severity="warning", runbook="Look.")
    (group,) = rule_groups(service.spec)
    assert [alert.expression for alert in group.alerts if alert.name == "TargetDown"] == ["up == 0"]


@pytest.mark.needs("amtool")
@pytest.mark.parametrize(
    "receivers",
    [
        Receivers(),
        Receivers(mail=Mail("a@example.org", "b@example.org", "mail:25"), switch="http://127.0.0.1:1/"),
        Receivers(pager="http://127.0.0.1:1/", mail=Mail("a@example.org", "b@example.org", "mail:25", tls=False)),
    ],
)
def test_alertmanager_takes_its_configuration(tmp_path: Path, receivers: Receivers) -> None:
    config = written(shop(), tmp_path, receivers) / "alertmanager/alertmanager.yml"
    assert "SUCCESS" in passes("amtool", "check-config", config)


@pytest.mark.needs("amtool")
def test_each_alert_reaches_whom_its_severity_says(tmp_path: Path) -> None:
    receivers = Receivers(mail=Mail("a@example.org", "b@example.org", "mail:25"), switch="http://127.0.0.1:1/")
    config = written(shop(), tmp_path, receivers) / "alertmanager/alertmanager.yml"
    assert routed(config, "severity=critical", "service=shop") == "page"
    assert routed(config, "severity=warning", "service=shop") == "chat"
    assert routed(config, "severity=business", "service=shop") == "mail"
    assert routed(config, "alertname=Watchdog", "severity=warning") == "dead-mans-switch"
    assert routed(config, "service=somebody-elses") == "chat"


def test_no_alert_is_muted_by_labels_that_neither_has() -> None:
    emitted = monitoring_files(shop().spec)["alertmanager/alertmanager.yml"]
    inhibitions = emitted.partition("inhibit_rules:")[2].partition("receivers:")[0].split("source_matchers:")[1:]
    for inhibition in inhibitions:
        matchers, _, equal = inhibition.partition("equal:")
        for label in equal.replace("-", " ").split():
            assert matchers.count(f'{label}=~".+"') == 2, f"{label} may be missing on one side"
