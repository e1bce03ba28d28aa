"""Dashboards before they are Grafana's: what they ask, of what, and up to which thresholds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import get_args

import pytest

from roadworthy import DeclarationError, Service, minutes, seconds
from roadworthy.check.catalogue import Series, catalogue
from roadworthy.check.deployed.deployment import deployment
from roadworthy.check.promql import COMPARISONS, Binary, Literal, Node, Selector, children, parse, walk
from roadworthy.check.recordings import recorded
from roadworthy.emit.alert import Alert
from roadworthy.emit.dashboard import Dashboard, Panel, Row, Threshold, Variable, concrete
from roadworthy.emit.dashboards import BOARDS, dashboards
from roadworthy.emit.dashboards.thresholds import threshold
from roadworthy.emit.layout import COLUMNS, placed
from roadworthy.emit.monitoring import monitoring_files
from roadworthy.emit.prometheus import rule_groups
from roadworthy.objectives.panel import Unit


def stall() -> Service:
    """Return a service that has something of everything that is drawn."""
    service = Service("stall", owner="market", app="stall.app:app")
    service.database()
    service.queue("mail", target_latency=seconds(5))
    service.queue("photos", workers=(1, 3))
    service.cache("prices", ttl=minutes(5))
    service.limit("api", "100/minute")
    service.dependency("geocoder")
    service.batched(name="faces")(_faces)
    service.shedding()
    service.api_keys(prefix="stall", scopes=("buy",), routes={"/*": None})
    service.behind("varnish")
    service.prices(cpu_hour=0.04, memory_gib_hour=0.005, monthly_budget=50)
    service.meter("letters", price=0.001)
    service.counter("fruit_sold_total", "Pieces sold.", labels={"kind": ("apple", "pear"), "by": None})
    service.counter("visits_total", "Visits.")
    service.gauge("fruit_left", "Pieces left.", labels={"kind": ("apple", "pear")})
    service.histogram("haggling_seconds", "Time until a price was agreed on.")
    service.slo("availability", objective=0.999)
    service.slo("order-latency", objective=0.95, under=seconds(0.2), route="POST /orders")
    service.alert("NobodyComes", expr="sum(rate(visits_total[1h])) < 0.01", severity="business", runbook="Rain?")
    service.panel("Visits", expr="sum(rate(visits_total[1h]))", unit="cps", alert="NobodyComes")
    return service


async def _faces(keys: list[str]) -> dict[str, str]:
    return {key: key for key in keys}


def alerts_of(service: Service) -> list[Alert]:
    return [alert for group in rule_groups(service.spec) for alert in group.alerts]


def known(service: Service) -> Mapping[str, Series]:
    return recorded(catalogue(service.spec, None), deployment(monitoring_files(service.spec)).expressions, service.spec)


def queries(board: Dashboard) -> Iterator[tuple[Panel, str]]:
    for panel in board.panels:
        for query in panel.queries:
            yield panel, concrete(query.expression, board)


def selectors(node: Node) -> Iterator[Selector]:
    return (one for one in walk(node) if isinstance(one, Selector))


def test_a_service_is_drawn_with_what_it_has_and_nothing_else() -> None:
    assert [board.name for board in dashboards(Service("bare").spec)] == ["overview", "monitoring"]
    names = [board.name for board in dashboards(stall().spec)]
    assert names[:3] == ["overview", "objectives", "workers"]
    assert {"api", "business", "database", "cache", "dependencies", "cost", "monitoring"} < set(names)
    assert len(set(names)) == len(names) <= len(BOARDS)


def test_each_expression_of_a_panel_is_promql_of_series_and_labels_that_there_are() -> None:
    service = stall()
    series = known(service)
    for board in dashboards(service.spec):
        for panel, expression in queries(board):
            for selector in selectors(parse(expression)):
                assert selector.metric in series, f"{board.name} / {panel.title}: {selector.metric}"
                one = series[selector.metric]
                for matcher in selector.matchers:
                    assert one.open or matcher.label in one.labels, f"{panel.title}: {matcher.label} of {one.name}"


def test_each_variable_narrows_a_panel_by_a_label_that_there_is() -> None:
    service = stall()
    series = known(service)
    for board in dashboards(service.spec):
        for variable in board.variables:
            (selector,) = selectors(parse(variable.selector))
            assert variable.label in series[selector.metric or ""].labels
            assert any(f"${variable.label}" in query.expression for panel in board.panels for query in panel.queries)


def test_nothing_of_grafanas_is_left_in_a_concrete_expression() -> None:
    for board in dashboards(stall().spec):
        for _, expression in queries(board):
            assert not re.search(r"\$[a-z_{]", expression), expression


def test_a_longer_variable_is_not_taken_for_a_shorter_one() -> None:
    board = Dashboard("a", "A", (), (Variable("queue", "queue_ready"),))
    assert concrete('a{queue=~"$queue",b=~"${queue}",c="$queues"}[$__rate_interval]', board, "4s") == (
        'a{queue=~".*",b=~".*",c="$queues"}[4s]'
    )


def test_each_panel_says_its_unit_and_stays_readable() -> None:
    for board in dashboards(stall().spec):
        for panel in board.panels:
            assert panel.title
            assert panel.unit in get_args(Unit)
            assert 0 < len(panel.queries) <= 6
        for row in board.rows:
            titles = [panel.title for panel in row.panels]
            assert len(set(titles)) == len(titles) <= 12


def test_no_panel_lies_on_another() -> None:
    for board in dashboards(stall().spec):
        for row in board.rows:
            cells = [
                (x, y)
                for _, place in placed(row, 1)
                for x in range(place.x, place.x + place.width)
                for y in range(place.y, place.y + place.height)
            ]
            assert len(set(cells)) == len(cells)
            assert {x for x, _ in cells} <= set(range(COLUMNS))


def test_lines_are_filled_and_numbers_stand_apart_from_graphs() -> None:
    graph, number = Panel("a", ()), Panel("b", (), shape="stat")
    places = [place for _, place in placed(Row("c", (*[number] * 7, *[graph] * 4)), 10)]
    assert [place.width for place in places] == [8, 8, 8, 6, 6, 6, 6, 12, 12, 12, 12]
    assert [place.y for place in places] == [10, 10, 10, 14, 14, 14, 14, 18, 18, 26, 26]


def compared(node: Node) -> Iterator[float]:
    """Yield the numbers that are compared with, the outermost first."""
    found = [node]
    for one in found:
        if isinstance(one, Binary) and one.operator in COMPARISONS and isinstance(one.right, Literal):
            yield float(one.right.value)
        found += children(one)


def test_a_threshold_is_the_first_number_that_the_alert_compares_with() -> None:
    service = stall()
    read = 0
    for alert in alerts_of(service):
        numbers = list(compared(parse(alert.expression)))
        limit = threshold(alert.expression)
        if limit is not None:
            assert limit.value in numbers
            read += 1
    assert read > 20


@pytest.mark.parametrize(
    ("expression", "limit"),
    [
        ('max by (queue) (a{b="x > 3"}) > 1000', Threshold(1000)),
        ("f / (f + g > 1) < 0.5", Threshold(0.5, "below")),
        ("min(up) == 0", Threshold(0, "at")),
        ("time() - m >= 1.5e3 or absent(b > 1)", Threshold(1500)),
        ("sum(a / b < 0.1) or sum(c)", Threshold(0.1, "below")),
        ("a > b", None),
        ("a < 0.5 * b", None),
        ("a < 0.5 * b and c > 1", None),
        ("absent(up)", None),
    ],
)
def test_thresholds_are_read_off_expressions(expression: str, limit: Threshold | None) -> None:
    assert threshold(expression) == limit


def test_each_panel_of_an_alert_has_its_threshold_and_asks_for_the_same_series() -> None:
    service = stall()
    alerts = alerts_of(service)
    drawn = 0
    for board in dashboards(service.spec):
        for panel in board.panels:
            if panel.alert is None:
                continue
            (alert, *_) = (
                one for one in alerts if one.name == panel.alert and panel.alert_labels.items() <= one.labels.items()
            )
            assert panel.threshold == threshold(alert.expression), f"{panel.title}: {alert.name}"
            watched = {selector.metric for selector in selectors(parse(alert.expression))}
            asked = {
                selector.metric
                for query in panel.queries
                for selector in selectors(parse(concrete(query.expression, board)))
            }
            assert watched & asked, f"{panel.title} shows nothing of {alert.name}"
            drawn += 1
    assert drawn > 20


def test_each_alert_that_a_board_names_is_there() -> None:
    service = stall()
    names = {alert.name for alert in alerts_of(service)}
    for make in BOARDS:
        board = make(service.spec)
        for panel in () if board is None else board.panels:
            assert panel.alert is None or panel.alert in names, f"{panel.title}: {panel.alert}"


def test_a_services_own_alert_moves_the_threshold_of_the_panel() -> None:
    service = Service("shop", app="shop:app")
    service.alert(
        "HighAPIErrorRate",
        expr='sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m])) > 0.2',
        severity="critical",
        runbook="Look.",
    )
    panels = [panel for board in dashboards(service.spec) for panel in board.panels]
    assert {panel.threshold for panel in panels if panel.alert == "HighAPIErrorRate"} == {Threshold(0.2)}


def business(service: Service) -> dict[str, Panel]:
    (board,) = (board for board in dashboards(service.spec) if board.name == "business")
    return {panel.title: panel for panel in board.panels}


def test_a_services_own_metric_is_shown_unless_a_panel_of_its_shows_it() -> None:
    panels = business(stall())
    assert list(panels) == ["Visits", "Fruit sold", "Fruit left", "Haggling seconds"]
    assert panels["Visits"].threshold == Threshold(0.01, "below")
    assert "sum by (kind) (rate(fruit_sold_total" in panels["Fruit sold"].queries[0].expression
    assert panels["Fruit sold"].may_be_empty
    assert panels["Fruit left"].queries[0].legend == "{{kind}}, {{instance}}"
    assert [query.expression[:24] for query in panels["Haggling seconds"].queries] == [
        "histogram_quantile(0.5, ",
        "histogram_quantile(0.95,",
    ]
    assert panels["Haggling seconds"].unit == "s"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"title": " ", "expr": "up"}, "title is ' '"),
        ({"title": "A", "expr": {}}, "empty expression"),
        ({"title": "A", "expr": {"a": "up", "b": " "}}, "empty expression"),
        ({"title": "A", "expr": "up", "unit": "furlongs"}, "unit='furlongs'; it must be one of none, short, s"),
        ({"title": "A", "expr": "up", "alert": "down"}, "alert='down'"),
    ],
)
def test_a_panel_that_cannot_be_drawn_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(said)):
        Service("shop").panel(**given)  # type: ignore[arg-type]
