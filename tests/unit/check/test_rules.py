"""Every rule: something that trips it, and a near miss that does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from fastapi import FastAPI, Query

from roadworthy import Service, minutes, private, seconds, shared
from roadworthy.check.app import App, Route, inspect
from roadworthy.check.declaration import check
from roadworthy.check.paging import unbounded
from roadworthy.check.refusal import REFUSED
from roadworthy.check.rules import RULES
from roadworthy.edge.cdn import cloudflare

from .conftest import APP, Findings

Alert = Callable[..., list[str]]


def test_ids_are_unique_well_formed_and_in_order() -> None:
    ids = [rule.id for rule in RULES]
    assert ids == sorted(set(ids))
    assert REFUSED not in ids
    assert all(re.fullmatch(r"RW\d{3}", id) for id in ids)


def test_a_sound_service_has_no_findings(service: Service, findings: Findings) -> None:
    service.slo("availability", objective=0.999)
    service.slo("search", objective=0.95, under=seconds(0.2), route="GET /search")
    service.slo("packing", objective=0.9, under=seconds(30), metric="packing_seconds")
    service.alert(
        "NoOrders", expr="sum(rate(orders_total[1h])) < 0.01", severity="business", for_=minutes(60), runbook="Look."
    )
    assert findings() == []


def test_a_finding_names_its_place(service: Service, findings: Findings) -> None:
    service.alert("Typo", expr="rate(order_total[5m]) > 1", severity="warning", runbook="Look.")
    (finding,) = findings()
    assert finding.rule == "RW031"
    assert finding.place == service.spec.places["alert", "Typo"]
    assert re.search(r"test_rules\.py:\d+$", finding.place)
    assert finding.message == "alert 'Typo' names the metric 'order_total', which nothing exports"
    assert "did you mean 'orders_total'?" in finding.fix


@pytest.mark.parametrize(
    ("name", "kind", "trips"),
    [
        ("http_requests_total", "counter", True),
        ("packing_seconds_count", "gauge", True),
        ("packing_seconds_bucket", "gauge", True),
        ("up", "gauge", True),
        ("packing_seconds_mean", "gauge", False),
        ("http_requests_served_total", "counter", False),
    ],
)
def test_rw002_a_metric_name_that_is_taken(
    service: Service, findings: Findings, name: str, kind: str, trips: bool
) -> None:
    getattr(service, kind)(name, "Help")
    assert bool(findings("RW002")) is trips


def test_rw002_a_histogram_after_the_name_it_takes() -> None:
    service = Service("shop")
    service.gauge("wait_seconds_sum", "Help")
    service.histogram("wait_seconds", "Help")
    (finding,) = check(service.spec)
    assert (finding.rule, finding.place) == ("RW002", service.spec.places["metric", "wait_seconds"])


def test_rw010_a_queue_without_a_job(service: Service, findings: Findings) -> None:
    assert not findings("RW010")
    service.queue("mail")
    (finding,) = findings("RW010")
    assert "'mail'" in finding.message
    assert finding.place == service.spec.places["queue", "mail"]


def test_rw020_an_application_that_does_not_serve_the_probes(findings: Findings) -> None:
    (finding,) = findings("RW020", App(installed=False, routes=APP.routes))
    assert "/livez" in finding.message
    assert finding.place == "shop.py:1"
    assert "service.install(app)" in finding.fix
    assert not findings("RW020")
    assert not findings("RW020", None)


def test_rw021_a_route_hidden_by_a_probe(findings: Findings) -> None:
    own = App(True, (*APP.routes, Route("/health", frozenset({"GET"}))))
    (finding,) = findings("RW021", own)
    assert "/health" in finding.message
    assert not findings("RW021", App(True, (*APP.routes, Route("/healthy", None))))
    assert not findings("RW021", App(False, own.routes))


@pytest.mark.parametrize(
    ("expression", "rule"),
    [
        ("sum(rate(orders_total[1h]) < 1", "RW030"),
        ("rate(orders_total) > 1", "RW030"),
        ("sum(rate(order_total[1h])) < 1", "RW031"),
        ("stock > 1", "RW031"),
        ("rate(packing_seconds[5m]) > 1", "RW031"),
        ("absent(stock_itmes)", "RW031"),
        ('rate(orders_total{payed="yes"}[5m]) > 1', "RW032"),
        ('ALERTS{alertnam="x"} unless stock_itemz', "RW031"),
        ('rate(orders_total{paid="maybe"}[5m]) > 1', "RW033"),
        ('rate(orders_total{paid!="maybe"}[5m]) > 1', "RW033"),
        ('rate(orders_total{paid=~"ja|nein"}[5m]) > 1', "RW033"),
        ('rate(packing_seconds_bucket{le="1"}[5m]) > 1', "RW033"),
        ('queue_ready{queue="order"} > 10', "RW033"),
        ('rate(http_requests_total{status="5xx"}[5m]) > 1', "RW033"),
        ('rate(http_requests_total{route="/serach"}[5m]) > 1', "RW033"),
        ('rate(http_requests_total{method="get"}[5m]) > 1', "RW033"),
        ('rate(jobs_finished_total{job="shipp"}[5m]) > 1', "RW033"),
        ('ALERTS{alertname="Nobody"}', "RW033"),
        ("sum by (payed) (rate(orders_total[5m])) > 1", "RW034"),
        ("sum without (payed) (rate(orders_total[5m])) > 1", "RW034"),
        ("sum by (paid) (sum by (country) (rate(orders_total[5m]))) > 1", "RW034"),
        ("rate(orders_total[5m]) * on (shelf) stock_items > 1", "RW034"),
        ("rate(orders_total[5m]) / ignoring (colour) rate(orders_total[1h]) > 1", "RW034"),
        ("rate(orders_total[5m]) * on (service) group_left (shelf) up > 1", "RW034"),
        ("up * on (service) group_right (shelf) rate(orders_total[5m]) > 1", "RW034"),
        ("sum by (paid) (rate(orders_total[5m])) / sum(rate(orders_total[5m])) > 0.1", "RW035"),
        ("sum(rate(orders_total[5m])) > 1 and stock_items > 1", "RW035"),
        ("stock_items * ignoring (shelf) rate(orders_total[5m]) > 1", "RW035"),
        ('rate(orders_total{paid="no"}[5m]) / rate(orders_total[5m]) > 0.1', "RW036"),
        ("histogram_quantile(0.9, sum by (shelf) (rate(packing_seconds_bucket[5m]))) > 1", "RW037"),
        ("histogram_quantile(0.9, rate(packing_seconds_sum[5m])) > 1", "RW037"),
        ("sum(rate(orders_total[1h]))", "RW040"),
        ("stock_items", "RW040"),
        ("stock_items > bool 1", "RW040"),
        ("vector(1)", "RW040"),
        ("stock_items > 1 or stock_items", "RW040"),
        ("orders_total > 100", "RW041"),
        ("100 < sum(orders_total)", "RW041"),
        ("sum(packing_seconds_count) by (shelf) >= 100", "RW041"),
        ("rate(stock_items[5m]) > 1", "RW042"),
        ("sum(increase(stock_items[5m])) > 1", "RW042"),
    ],
)
def test_an_expression_trips_its_rule_alone(alert: Alert, expression: str, rule: str) -> None:
    assert alert(expression) == [rule]


@pytest.mark.parametrize(
    "expression",
    [
        "sum(rate(orders_total[1h])) < 1",
        "absent(stock_items)",
        "up == 0",
        'up{job="shop", instance=~".*:9100"} == 0',
        'ALERTS{alertname="Alert0", alertstate="firing", team="sales"}',
        'rate(orders_total{paid="yes"}[5m]) > 1',
        'rate(orders_total{paid="__other__"}[5m]) > 1',
        'rate(orders_total{paid=~"y.*"}[5m]) > 1',
        'rate(orders_total{paid!=""}[5m]) > 1',
        'rate(orders_total{country="Absurdistan"}[5m]) > 1',
        'rate(packing_seconds_bucket{le="1.0"}[5m]) > 1',
        'rate(packing_seconds_bucket{le="+Inf"}[5m]) > 1',
        'queue_ready{queue="orders"} > 10',
        'rate(http_requests_total{status=~"5.."}[5m]) > 1',
        'rate(http_requests_total{route="/search",method="GET"}[5m]) > 1',
        'rate(http_requests_total{route="__unmatched__"}[5m]) > 1',
        'rate(jobs_finished_total{job="ship"}[5m]) > 1',
        "sum by (paid, job) (rate(orders_total[5m])) > 1",
        "sum by (le) (rate(packing_seconds_bucket[5m])) > 1",
        "max by (process) (process_resident_memory_bytes) > 1e9",
        'count_values("amount", stock_items) > 1 and on (amount) count_values("amount", stock_items)',
        'sum by (place) (label_replace(stock_items, "place", "$1", "shelf", "(.*)")) > 1',
        "sum by (paid) (rate(orders_total[5m])) / on () group_left () sum(rate(orders_total[5m])) > 0.1",
        "sum by (paid) (rate(orders_total[5m])) / sum by (paid) (rate(orders_total[1h])) > 0.1",
        'sum(rate(orders_total{paid="no"}[5m])) / sum(rate(orders_total[5m])) > 0.1',
        "rate(orders_total[5m]) / rate(orders_total[1h]) > 2",
        "rate(packing_seconds_sum[5m]) / rate(packing_seconds_count[5m]) > 2",
        "rate(orders_total[5m]) * on (service) group_left (instance) (count by (service, instance) (up)) > 1",
        "(sum(rate(orders_total[5m])) or vector(0)) < 1",
        "(sum(rate(orders_total[5m])) > 1) or (sum(rate(orders_total[1h])) > 1)",
        "histogram_quantile(0.9, sum by (le, shelf) (rate(packing_seconds_bucket[5m]))) > 1",
        "stock_items unless stock_items offset 1h",
        "count(stock_items > 1)",
        "topk(3, stock_items) > 1",
        "sum(orders_total) == 0",
        "0 != sum(orders_total)",
        "orders_total - orders_total offset 1h > 100",
        "count(orders_total) > 100",
        "delta(stock_items[1h]) > 1",
        "resets(orders_total[1h]) > 1",
        "time() - max(process_start_time_seconds) < 60",
        "max_over_time(stock_items[1h:5m]) > 1",
        'sum by (x) ({__name__=~"node_.*"}) > 1',
        "vector(1) > 0",
        'rate(orders_total{paid=~"y(?<rest>.*)"}[5m]) > 1',
        "stock_items > scalar(sum(up))",
        "absent_over_time(stock_items[1h]) and on () up",
    ],
)
def test_near_misses_trip_nothing(alert: Alert, expression: str) -> None:
    assert alert(expression) == []


def test_rw031_says_what_the_series_of_a_histogram_are(service: Service, findings: Findings) -> None:
    service.alert("A", expr="packing_seconds > 1", severity="warning", runbook="Look.")
    (finding,) = findings()
    assert "packing_seconds_bucket, packing_seconds_sum and packing_seconds_count" in finding.fix


def test_rw031_an_objective_on_an_unknown_metric(service: Service, findings: Findings) -> None:
    service.slo("packing", objective=0.9, under=seconds(1), metric="paking_seconds")
    (finding,) = findings()
    assert (finding.rule, finding.place) == ("RW031", service.spec.places["objective", "packing"])
    assert "did you mean 'packing_seconds'?" in finding.fix


def test_rw033_routes_below_what_cannot_be_seen_are_not_guessed_at(alert: Alert) -> None:
    expression = 'rate(http_requests_total{route="/files/a"}[5m]) > 1'
    assert alert(expression) == ["RW033"]
    assert alert(expression, App(True, APP.routes, hidden=("/files",))) == []
    assert alert(expression, None) == []
    assert alert('rate(http_requests_total{route=~"/fi.*"}[5m]) > 1', App(True, (), hidden=("/files",))) == []


def test_a_problem_repeated_in_one_expression_is_reported_once(alert: Alert) -> None:
    assert alert('rate(orders_total{paid="x"}[5m]) / rate(orders_total{paid="x"}[1h]) > 1') == ["RW033"]
    assert alert("rate(nothing[5m]) / rate(nothing[1h]) > 1") == ["RW031"]


@pytest.mark.parametrize(
    ("expression", "wait", "severity", "trips"),
    [
        ("up == 0", 0, "critical", True),
        ("up == 0", 1, "critical", False),
        ("up == 0", 0, "warning", False),
        ("avg_over_time(up[5m]) < 0.5", 0, "critical", False),
        ("max_over_time((up == 0)[5m:1m]) == 0", 0, "critical", False),
    ],
)
def test_rw043_a_critical_alert_on_one_scrape(
    service: Service, findings: Findings, expression: str, wait: int, severity: str, trips: bool
) -> None:
    service.alert("Down", expr=expression, for_=minutes(wait), severity=severity, runbook="Look.")  # type: ignore[arg-type]
    found = findings()
    assert [finding.rule for finding in found] == (["RW043"] if trips else [])
    assert all(finding.weight == "warning" for finding in found)


@pytest.mark.parametrize(
    ("expression", "trips"),
    [
        ("time() - worker_heartbeat_timestamp_seconds > 60", True),
        ("time() - max(worker_heartbeat_timestamp_seconds) > 60", True),
        ("time() - worker_heartbeat_timestamp_seconds > 60 or absent(worker_heartbeat_timestamp_seconds)", False),
        ("time() - queue_oldest_ready_timestamp_seconds > 60", False),
    ],
)
def test_rw044_an_alert_that_is_silent_without_workers(
    service: Service, findings: Findings, expression: str, trips: bool
) -> None:
    service.alert("WorkerDown", expr=expression, for_=minutes(1), severity="critical", runbook="Look.")
    found = findings()
    assert [finding.rule for finding in found] == (["RW044"] if trips else [])
    assert all(finding.weight == "warning" for finding in found)


def test_rw050_an_objective_on_what_is_no_duration(service: Service, findings: Findings) -> None:
    service.slo("stock", objective=0.9, under=seconds(1), metric="stock_items")
    service.histogram("basket_size", "Items in a basket", buckets=(1, 2))
    service.slo("basket", objective=0.9, under=seconds(1), metric="basket_size")
    assert [finding.rule for finding in findings()] == ["RW050", "RW050"]
    assert not [finding for finding in findings() if "packing" in finding.message]


@pytest.mark.parametrize(("under", "trips"), [(1, False), (30, False), (2, True), (60, True)])
def test_rw051_a_threshold_that_is_no_bucket(service: Service, findings: Findings, under: int, trips: bool) -> None:
    service.slo("packing", objective=0.9, under=seconds(under), metric="packing_seconds")
    found = findings()
    assert [finding.rule for finding in found] == (["RW051"] if trips else [])
    assert all(f"add {under} to buckets=" in finding.fix for finding in found)


def test_rw051_explicit_request_buckets() -> None:
    service = Service("shop", owner="sales", request_buckets=(0.1, 1))
    service.slo("fast", objective=0.9, under=seconds(0.1))
    service.slo("slow", objective=0.9, under=seconds(0.5))
    (finding,) = check(service.spec, app=APP)
    assert (finding.rule, finding.place) == ("RW051", service.spec.places["objective", "slow"])
    assert "add 0.5 to request_buckets=" in finding.fix


def test_rw051_http_buckets_follow_the_objectives() -> None:
    service = Service("shop", owner="sales")
    service.slo("odd", objective=0.9, under=seconds(0.123))
    service.slo("long", objective=0.9, under=seconds(77))
    assert check(service.spec, app=APP) == ()


@pytest.mark.parametrize(
    ("route", "trips"),
    [
        ("GET /search", False),
        ("HEAD /search", False),
        ("POST /sites", False),
        ("GET /sites/{name}", False),
        ("GET /serach", True),
        ("POST /search", True),
        ("GET /sites/python", True),
    ],
)
def test_rw052_an_objective_on_a_route(service: Service, findings: Findings, route: str, trips: bool) -> None:
    service.slo("fast", objective=0.9, under=seconds(1), route=route)
    assert [finding.rule for finding in findings()] == (["RW052"] if trips else [])


def test_rw052_suggests_and_does_not_guess(service: Service, findings: Findings) -> None:
    service.slo("fast", objective=0.9, under=seconds(1), route="GET /serach")
    (finding,) = findings()
    assert finding.fix == "did you mean 'GET /search'?"
    assert not findings("RW052", App(True, APP.routes, hidden=("",)))


def test_rw053_requests_without_an_application(service: Service, findings: Findings) -> None:
    service.slo("packing", objective=0.9, under=seconds(30), metric="packing_seconds")
    assert not findings("RW053", None)
    service.slo("availability", objective=0.999)
    (finding,) = findings(app=None)
    assert finding.rule == "RW053"


@pytest.mark.parametrize(
    "expression",
    [
        'sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.05',
        "histogram_quantile(0.95, sum by (le, route) (rate(http_request_duration_seconds_bucket[5m]))) > 1"
        " and on (route) sum by (route) (rate(http_request_duration_seconds_count[5m])) > 0.1",
        "sum by (queue) (queue_ready) > 1000",
        "time() - queue_oldest_ready_timestamp_seconds > 30",
        "time() - max by (worker) (worker_heartbeat_timestamp_seconds) > 300"
        " or absent(worker_heartbeat_timestamp_seconds)",
        "database_pool_used / database_pool_limit > 0.8",
        'sum by (job) (rate(jobs_finished_total{outcome=~"retried|dead"}[5m]))'
        " / sum by (job) (rate(jobs_finished_total[5m])) > 0.2"
        " and sum by (job) (increase(jobs_finished_total[5m])) >= 20",
        "sum(rate(orders_total[1h])) < 0.5 * sum(rate(orders_total[1h] offset 1w))",
        "scrape_duration_seconds > 5",
        "count by (service) (up == 0) / count by (service) (up) > 0.5",
        "process_open_fds / process_max_fds > 0.8",
        "predict_linear(queue_ready[1h], 3600) > 1000",
        "1 - avg_over_time(up[5m]) > 0.1",
        "rate(telemetry_label_overflow_total[5m]) > 0",
        "queue_ready > 0 unless on (queue) sum by (queue) (rate(jobs_finished_total[5m])) > 0",
        "max_over_time(deriv(queue_ready[5m])[1h:]) > 0",
        "changes(process_start_time_seconds[15m]) > 3",
        "up * on (instance) group_left (version) roadworthy_info == 0",
        "sum by (queue) (queue_ready) > 100 and sum by (queue) (deriv(queue_ready[10m])) > 0",
        "rate(job_duration_seconds_sum[5m]) / rate(job_duration_seconds_count[5m]) > 60",
        'sum(rate(http_request_duration_seconds_bucket{le="0.25"}[5m]))'
        " / sum(rate(http_request_duration_seconds_count[5m])) < 0.95",
        'sum without (status) (rate(http_requests_total{method!="OPTIONS"}[5m])) > 100',
        "abs(stock_items - avg_over_time(stock_items[7d])) > 3 * stddev_over_time(stock_items[7d])",
        'label_join(stock_items, "both", "-", "shelf", "instance") > 1',
        "day_of_week() > 0 and on () sum(queue_ready) > 10",
        "sum(queue_ready) > on () group_right () (queue_running * 10)",
        "quantile(0.9, queue_ready) > 10",
        "irate(process_cpu_seconds_total[5m]) > 0.9",
    ],
)
def test_alerts_as_people_write_them_trip_nothing(alert: Alert, expression: str) -> None:
    assert alert(expression) == []


@pytest.mark.parametrize(("objective", "trips"), [(0.8, True), (0.84, False), (0.93, False), (0.999, False)])
def test_rw054_an_objective_that_can_never_page(
    service: Service, findings: Findings, objective: float, trips: bool
) -> None:
    service.slo("availability", objective=objective)
    found = findings()
    assert [finding.rule for finding in found] == (["RW054"] if trips else [])
    assert all(finding.weight == "warning" for finding in found)


def test_rw060_an_edge_policy_of_a_route_that_is_not_served(service: Service, findings: Findings) -> None:
    for what in ("GET /search", "GET /sites/{name}", "image/*", "*"):
        service.edge(what, private())
    assert not findings("RW060")
    service.edge("GET /serach", private())
    service.edge("GET /sites/{site}", private())
    first, second = findings("RW060")
    assert "did you mean 'GET /search'?" in first.fix
    assert second.place == service.spec.places["edge", "GET /sites/{site}"]
    assert not findings("RW060", None)
    assert not findings("RW060", App(True, hidden=("",)))


def test_rw061_an_edge_policy_that_takes_from_another_route(service: Service, findings: Findings) -> None:
    app = App(True, (*APP.routes, Route("/sites/mine", frozenset({"GET"})), Route("/sites/new", frozenset({"POST"}))))
    service.edge("GET /search", shared(edge=minutes(1), query=("q",)))
    service.edge("GET /sites/{name}", shared(edge=minutes(1), cookies="ignored"))
    (finding,) = findings("RW061", app)
    assert "/sites/mine" in finding.message
    assert finding.place == service.spec.places["edge", "GET /sites/{name}"]
    service.edge("GET /sites/mine", private())
    assert not findings("RW061", app)


def test_rw061_an_edge_policy_that_takes_nothing(service: Service, findings: Findings) -> None:
    service.edge("GET /sites/{name}", shared(edge=minutes(1)))
    assert not findings("RW061", App(True, (*APP.routes, Route("/sites/mine", None))))


def test_rw062_tags_that_nothing_purges(service: Service, findings: Findings) -> None:
    service.edge("GET /sites/{name}", shared(edge=minutes(1)), tags=("site:{name}",), cached=True)
    assert not findings("RW062")
    service.edge("GET /search", shared(edge=minutes(1)), tags=("searches",))
    (finding,) = findings("RW062")
    assert (finding.weight, "searches" in finding.message) == ("warning", True)
    service.purge_with(cloudflare(zone="z"))
    assert not findings("RW062")


def test_rw063_staleness_that_cloudfront_is_not_told_of(service: Service, findings: Findings) -> None:
    service.edge("GET /search", shared(browser=minutes(1), edge=minutes(5), stale=minutes(1)))
    assert not findings("RW063")
    service.behind("cloudfront")
    (finding,) = findings("RW063")
    assert finding.place == service.spec.places["edge", "GET /search"]


def test_rw063_staleness_where_one_lifetime_is_for_all(service: Service, findings: Findings) -> None:
    service.behind("cloudfront")
    service.edge("GET /search", shared(browser=minutes(5), edge=minutes(5), stale=minutes(1)))
    service.edge("GET /sites/{name}", shared(edge=minutes(5)))
    assert not findings("RW063")


def test_rw070_a_key_is_asked_for_where_nothing_is_served(service: Service, findings: Findings) -> None:
    service.api_keys(
        prefix="shop",
        routes={"/sites/*": None, "GET /search": None, "/sites/{slug}": None, "/*": None, "GET /static/x": None},
    )
    assert not findings("RW070", App(True, APP.routes, ("/static",)))
    service.api_keys("other", prefix="other", routes={"GET /serach": None, "DELETE /search": None})
    first, second = findings("RW070", App(True, APP.routes, ("/static",)))
    assert "did you mean 'GET /search'?" in first.fix
    assert "DELETE /search" in second.message
    assert first.place == service.spec.places["api_keys", "other"]
    assert not findings("RW070", None)
    assert not findings("RW070", App(True, hidden=("",)))


def test_rw071_bounds_of_a_route_that_is_not_served(service: Service, findings: Findings) -> None:
    service.bounds(body=1)
    service.bounds("GET /search", deadline=seconds(1))
    assert not findings("RW071")
    service.bounds("GET /serach", body=1)
    (finding,) = findings("RW071")
    assert "did you mean 'GET /search'?" in finding.fix
    assert finding.place == service.spec.places["bounds", "GET /serach"]
    assert not findings("RW071", None)


def test_rw072_everybodys_pages_send_keys(service: Service, findings: Findings) -> None:
    service.cors("*", path="/open", headers=("Authorization",))
    service.cors("https://app.example", path="/api", headers=("Authorization",))
    assert not findings("RW072")
    service.api_keys(prefix="shop")
    (finding,) = findings("RW072")
    assert "every site" in finding.message
    assert finding.place == service.spec.places["cors", "/open"]


def test_rw073_a_list_without_a_bound(findings: Findings) -> None:
    application = FastAPI()

    @application.get("/items")
    async def items(limit: int, page_size: Annotated[int, Query(le=100)] = 20, first: int | None = None) -> int:
        return limit

    @application.get("/pages")
    async def pages(page: int, q: str, count: Literal[10, 20] = 10) -> int:
        return page

    found = findings("RW073", inspect(application, None))
    assert [finding.message.split(" so ")[0] for finding in found] == [
        "GET /items takes any number for 'limit',",
        "GET /items takes any number for 'first',",
    ]
    assert not findings("RW073", None)
    assert unbounded(object()) == ()
