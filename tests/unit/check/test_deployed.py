"""What stands in a directory: how it is read, and the rules about it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from roadworthy import Service
from roadworthy.check.declaration import check
from roadworthy.check.deployed.dashboards import filled
from roadworthy.check.deployed.deployment import deployment
from roadworthy.check.finding import Finding
from roadworthy.check.sarif import sarif

GOOD = """\
groups:
  - name: shop
    rules:
      - record: "shop:orders:rate5m"
        expr: 'sum by (paid) (rate(orders_total[5m]))'
      - alert: FewOrders
        expr: 'sum by (paid) (shop:orders:rate5m) < 0.1'
        for: 1h30m
        labels: {service: shop, severity: warning, owner: sales}
        annotations: {summary: "Few {{ $labels.paid }}", description: d, runbook_url: "runbooks/shop/FewOrders.md"}
"""
PAGE = "# FewOrders\n\n```promql\nsum(rate(orders_total[5m]))\n```\n"


def found(service: Service, files: dict[str, str]) -> list[Finding]:
    return list(check(service.spec, deployment=deployment(files, "deploy")))


def board(*panels: dict[str, object], **more: object) -> dict[str, str]:
    return {"grafana/dashboards/shop.json": json.dumps({"title": "Shop", "panels": panels, **more}, indent=1)}


def panel(query: str, **more: object) -> dict[str, object]:
    return {"title": "P", "type": "timeseries", "targets": [{"expr": query}], **more}


WATCHING = board(panel("stock_items"), panel("sum(rate(packing_seconds_count[$__rate_interval]))"))
SOUND = {"prometheus/rules/shop.yml": GOOD, "runbooks/shop/FewOrders.md": PAGE, **WATCHING}


def test_sound_files_have_no_findings(service: Service) -> None:
    assert found(service, SOUND) == []


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("RW030", "(shop:orders:rate5m)", "(shop:orders:rate5m"),
        ("RW031", "sum by (paid) (shop:orders:rate5m)", "sum by (paid) (shop:order:rate5m)"),
        ("RW034", "sum by (paid) (rate", "sum by (payed) (rate"),
        ("RW048", "$labels.paid", "$labels.country"),
        ("RW049", "< 0.1'\n        for: 1h30m", "< 0.1 or absent(stock_items)'"),
        ("RW081", ', runbook_url: "runbooks/shop/FewOrders.md"', ""),
        ("RW081", "shop/FewOrders.md", "shop/FewOrder.md"),
        ("RW082", ", owner: sales", ""),
        ("RW083", "service: shop, ", ""),
        ("RW083", "severity: warning", "severity: ticket"),
        ("RW085", "owner: sales", 'owner: sales, now: "{{ $value }}"'),
        ("RW087", "owner: sales", "owner: sales, queue: letters"),
        ("RW080", "groups:", "group:"),
        ("RW080", "groups:", "groups: ["),
    ],
)
def test_a_rule_file_trips_its_rule(service: Service, rule: str, old: str, new: str) -> None:
    assert old in GOOD
    changed = GOOD.replace(old, new)
    rules = {finding.rule for finding in found(service, {**SOUND, "prometheus/rules/shop.yml": changed})}
    # What cannot be read is watched by nothing.
    assert rule in rules
    assert rules - {rule} <= {"RW048", "RW034", "RW089"}


def test_near_misses_in_a_rule_file(service: Service) -> None:
    for old, new in (
        ("shop/FewOrders.md", "shop/FewOrders.md#steps"),
        ("runbooks/shop/FewOrders.md", "https://wiki.example/few-orders"),
        ("owner: sales", "owner: sales, queue: orders"),
        ("owner: sales", 'owner: sales, kind: "{{ $labels.paid }}"'),
        ("alert: FewOrders", "alert: Fewer"),
    ):
        assert found(service, {**SOUND, "prometheus/rules/shop.yml": GOOD.replace(old, new)}) == []


def test_rw084_the_same_rule_in_two_files(service: Service) -> None:
    twice = found(service, {**SOUND, "prometheus/rules/wild.yml": GOOD})
    assert [finding.rule for finding in twice] == ["RW084", "RW084"]
    assert "deploy/prometheus/rules/shop.yml:4" in twice[0].message
    other = GOOD.replace("owner: sales", "owner: sales, half: a").replace("shop:orders:rate5m", "shop:orders:rate5")
    assert found(service, {**SOUND, "prometheus/rules/wild.yml": other}) == []


def test_rw086_a_label_made_of_an_open_one(service: Service) -> None:
    text = GOOD.replace("sum by (paid) (rate", "sum by (paid, country) (rate").replace(
        "sum by (paid) (shop:orders:rate5m)", "sum by (paid, country) (rate(orders_total[5m]))"
    )
    assert found(service, {**SOUND, "prometheus/rules/shop.yml": text}) == []
    labelled = text.replace("owner: sales", 'owner: sales, where: "{{ $labels.country }}"')
    (finding,) = found(service, {**SOUND, "prometheus/rules/shop.yml": labelled})
    assert finding.rule == "RW086"


def test_rw088_a_panel_without_a_query(service: Service) -> None:
    (finding,) = found(service, {**SOUND, **board(*_panels(), {"title": "Empty", "type": "stat"})})
    assert (finding.rule, "Empty" in finding.message) == ("RW088", True)
    assert found(service, {**SOUND, **board(*_panels(), {"title": "Words", "type": "text"})}) == []


def _panels() -> list[dict[str, object]]:
    panels: list[dict[str, object]] = json.loads(WATCHING["grafana/dashboards/shop.json"])["panels"]
    return panels


def test_rw089_a_metric_that_nothing_looks_at(service: Service) -> None:
    (finding,) = found(service, {**SOUND, **board(panel("stock_items"))})
    assert (finding.rule, finding.weight) == ("RW089", "warning")
    assert "packing_seconds" in finding.message
    assert check(replace(service.spec)) == ()


def test_rw039_a_panel_about_what_the_service_does_not_have(service: Service) -> None:
    (finding,) = found(service, {**SOUND, **board(*_panels(), panel("sum(cache_entries)"))})
    assert finding.rule == "RW039"
    told = panel("sum(cache_entries)", description="Entries. May be empty: no cache is used.")
    assert found(service, {**SOUND, **board(*_panels(), told)}) == []


def test_rw055_a_share_above_everything(service: Service) -> None:
    record = GOOD + "      - record: 'shop:bad:ratio_rate1h'\n        expr: 'vector(0)'\n"
    above = GOOD.replace("sum by (paid) (shop:orders:rate5m) < 0.1", "shop:bad:ratio_rate1h > THRESHOLD").replace(
        "$labels.paid", "$value"
    )
    tail = record.removeprefix(GOOD)
    for threshold, trips in (("1.2", True), ("0.144", False)):
        rules = [
            one.rule
            for one in found(
                service, {**SOUND, "prometheus/rules/shop.yml": above.replace("THRESHOLD", threshold) + tail}
            )
        ]
        assert rules == (["RW055"] if trips else [])


def test_places_are_files_with_lines(service: Service) -> None:
    page = PAGE.replace("orders_total", "order_total")
    (finding,) = found(service, {**SOUND, "runbooks/shop/FewOrders.md": page})
    assert finding.place == "deploy/runbooks/shop/FewOrders.md:4"
    assert finding.message == "runbook 'shop/FewOrders' names the metric 'order_total', which nothing exports"
    assert "did you mean 'orders_total'?" in finding.fix


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("rate(a[$__rate_interval])", "rate(a[2m])"),
        ("rate(a[${__range}])", "rate(a[5m])"),
        ('a{route=~"$route",b="$b"}', 'a{route=~".*",b=~".*"}'),
        ('a{route!~"${route:regex}"}', 'a{route!=""}'),
        ('a{b=~"x$"}', 'a{b=~"x$"}'),
    ],
)
def test_variables_stand_for_anything(query: str, sent: str) -> None:
    assert filled(query) == sent


def test_sarif_has_what_its_schema_requires(service: Service) -> None:
    page = PAGE.replace("orders_total", "order_total")
    log = sarif(tuple(found(service, {**SOUND, "runbooks/shop/FewOrders.md": page})))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "roadworthy"
    assert len({rule["id"] for rule in rules}) == len(rules)
    (result,) = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "RW031"
    assert result["level"] in ("error", "warning")
    assert result["message"]["text"]
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "deploy/runbooks/shop/FewOrders.md"},
        "region": {"startLine": 4},
    }
    assert json.loads(json.dumps(log)) == log
