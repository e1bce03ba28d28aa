from __future__ import annotations

from typing import Any

import pytest

from roadworthy import Service, minutes, seconds

from .conftest import Findings


@pytest.mark.parametrize(
    ("queue", "job", "trips"),
    [("orders", None, ""), ("orders", "ship", ""), ("ordres", None, "'orders'"), ("orders", "shop", "'ship'")],
)
def test_rw090_an_objective_on_jobs(
    service: Service, findings: Findings, queue: str, job: str | None, trips: str
) -> None:
    service.slo("shipped", objective=0.99, queue=queue, job=job)
    found = findings()
    assert [finding.rule for finding in found] == (["RW090"] if trips else [])
    assert all(finding.fix == f"did you mean {trips}?" for finding in found)


def test_rw090_how_long_jobs_of_an_unknown_queue_wait(service: Service, findings: Findings) -> None:
    service.slo("begun", objective=0.99, queue="orders", under=seconds(7))
    assert not findings()
    service.slo("mailed", objective=0.99, queue="mail", under=seconds(7))
    assert [finding.rule for finding in findings()] == ["RW090"]


@pytest.mark.parametrize(
    ("fresh", "trips"),
    [
        ("counted_timestamp_seconds", False),
        ("index_lag_seconds", False),
        ("stock_items", True),
        ("packing_seconds", True),
        ("index_lag_second", True),
    ],
)
def test_rw091_a_gauge_of_what_is_to_be_fresh(service: Service, findings: Findings, fresh: str, trips: bool) -> None:
    service.gauge("counted_timestamp_seconds", "When the stock was counted.")
    service.gauge("index_lag_seconds", "How old the index is.")
    service.slo("fresh", objective=0.99, fresh=fresh, within=minutes(5))
    assert [finding.rule for finding in findings()] == (["RW091"] if trips else [])


@pytest.mark.parametrize(
    ("metric", "good", "trips"),
    [
        ("orders_total", {"paid": ("yes",)}, 0),
        ("orders_total", {"country": ("anywhere",)}, 0),
        ("orders_total", {"payed": ("yes",)}, 1),
        ("orders_total", {"paid": ("yes", "maybe", "later")}, 2),
        ("stock_items", {"shelf": ("left",)}, 1),
    ],
)
def test_rw092_good_events(service: Service, findings: Findings, metric: str, good: Any, trips: int) -> None:
    service.slo("paid", objective=0.7, metric=metric, good=good)
    assert [finding.rule for finding in findings()] == ["RW092"] * trips


def test_what_nobody_is_woken_for_may_be_promised_as_low_as_it_is(service: Service, findings: Findings) -> None:
    service.slo("paid", objective=0.7, metric="orders_total", good={"paid": ("yes",)})
    assert not findings("RW054")
