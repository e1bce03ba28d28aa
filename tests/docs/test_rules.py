"""The pages of the check's rules: each rule has one, and its examples are what they say."""

from __future__ import annotations

import pytest

from roadworthy import Service, minutes
from roadworthy.check.declaration import check
from roadworthy.check.finding import page
from roadworthy.check.refusal import REFUSED
from roadworthy.check.rules import RULES

from .markdown import DOCS, ROOT, blocks, read

IDS = (REFUSED, *(rule.id for rule in RULES))
WITH_EXAMPLES = tuple(id for id in IDS if list(blocks(read(f"reference/rules/{id}.md"))) and id != REFUSED)


def test_each_rule_has_a_page_and_each_page_a_rule() -> None:
    assert sorted(path.stem for path in (DOCS / "reference/rules").iterdir()) == sorted(IDS)
    for id in IDS:
        text = (ROOT / page(id)).read_text(encoding="utf-8")
        assert text.startswith(f"# {id}: ")
        assert f"`--ignore {id}`" in text


def shop() -> Service:
    service = Service("shop", version="1.0.0", owner="sales")

    @service.queue("orders").job()
    async def ship(order: int) -> None: ...

    service.counter("orders_total", "Orders taken", labels={"paid": ("yes", "no"), "country": None})
    service.gauge("stock_items", "Items in stock", labels={"shelf": ("left", "right")})
    service.histogram("packing_seconds", "Time to pack an order", buckets=(0.5, 1, 30), labels={"shelf": None})
    return service


@pytest.mark.parametrize("id", WITH_EXAMPLES)
def test_the_examples_trip_the_rule_and_do_not(id: str) -> None:
    found = []
    for block in blocks(read(f"reference/rules/{id}.md")):
        service = shop()
        service.alert("Example", expr=block.text, for_=minutes(1), severity="warning", runbook="Look.")
        found.append([finding.rule for finding in check(service.spec)])
    assert found == [[id], []]
