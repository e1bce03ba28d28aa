from __future__ import annotations

import os
import signal

import pytest

from roadworthy.telemetry.exposition import EMPTY, Family, completed, merge
from roadworthy.telemetry.ledger import KeptLedger, Ledger
from roadworthy.telemetry.registry import MetricRegistry, Tally
from roadworthy.telemetry.spec import Label, MetricSpec

PAGES = MetricSpec("pages_total", "counter", "Pages.", (Label("site"),))
TIME = MetricSpec("crawl_seconds", "histogram", "Crawls.", (Label("site"),), (1.0, 10.0))
WAITING = MetricSpec("waiting", "gauge", "Waiting.")
FAMILY = Family("a_total", "counter", "A.", "sum", ("n",))


def registry(descriptor: int) -> MetricRegistry:
    return MetricRegistry([PAGES, TIME, WAITING], ledger=Ledger(descriptor))


def test_what_a_killed_process_counted_is_there() -> None:
    kept = KeptLedger()
    child = os.fork()
    if child == 0:
        counting = registry(kept.descriptor)
        counting.bound(PAGES).labels("a").inc(2)
        tally = Tally(counting.bound(TIME).labels("a"), counting.bound(PAGES).labels("b"))
        for _ in range(1000):
            tally.observe(5.0)
        counting.bound(WAITING).labels().set(7)
        os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    found = {(one.name, one.labels): one.value for family in kept.read().families for one in family.samples}
    assert found["pages_total", (("site", "a"),)] == 2
    assert found["pages_total", (("site", "b"),)] == 1000
    assert found["crawl_seconds_bucket", (("site", "a"), ("le", "10.0"))] == 1000
    assert found["crawl_seconds_sum", (("site", "a"),)] == 5000
    assert not any(name == "waiting" for name, _ in found)
    kept.close()


def test_a_ledger_is_never_behind_what_the_process_told() -> None:
    kept = KeptLedger()
    counting = registry(kept.descriptor)
    counting.bound(PAGES).labels("a").inc()
    told = counting.snapshot()
    counting.bound(PAGES).labels("a").inc()
    counting.bound(PAGES).labels("b").inc()
    assert merge({"": completed(told, kept.read())}) == merge({"": completed(counting.snapshot(), EMPTY)})
    kept.close()


def test_an_empty_ledger_tells_of_nothing() -> None:
    kept = KeptLedger()
    assert kept.read() == EMPTY
    kept.close()


@pytest.mark.parametrize("capacity", [4096, 8192])
def test_without_room_a_series_counts_in_the_process_alone(capacity: int) -> None:
    kept = KeptLedger(capacity)
    counting = registry(kept.descriptor)
    for number in range(100):
        for _ in range(2):
            counting.bound(TIME).labels(f"{number:0100}").observe(1)
    counted = {family.name: family for family in counting.snapshot().families}["crawl_seconds"]
    assert sum(one.numbers[0] for one in counted.series) == 200
    there = sum(one.numbers[0] for family in kept.read().families for one in family.series if family.bounds)
    assert 0 < there < 200
    kept.close()


def test_a_record_that_was_not_written_whole_is_not_there() -> None:
    kept = KeptLedger(4096)
    ledger = Ledger(kept.descriptor)
    numbers = ledger.numbers(FAMILY, ("1",), 1)
    assert numbers is not None
    numbers[0] = 4
    end = ledger._end[0]
    ledger.numbers(FAMILY, ("2",), 1)
    ledger._end[0] = end
    ((family),) = kept.read().families
    assert [(one.labels, one.numbers) for one in family.series] == [(("1",), (4.0,))]
    kept.close()
