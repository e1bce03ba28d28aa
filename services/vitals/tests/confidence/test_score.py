"""Confidence: four parts, each within its points and falling for its own reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitals.confidence.score import (
    RELIABILITIES,
    Confidence,
    Record,
    agreement,
    frequency,
    freshness,
    reliability,
    score,
)
from vitals.payloads.metrics import METRICS

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KINDS = ("scale", "cuff", "ring", "strap", "watch", "app", "hand")
WEIGHT = METRICS["weight"]

records = st.lists(
    st.builds(
        Record,
        source=st.text("abcdef", min_size=1, max_size=3),
        kind=st.sampled_from((*KINDS, "toaster")),
        value=st.floats(0, 1e6),
        measured_at=st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        days=st.integers(0, 31),
    ),
    max_size=5,
    unique_by=lambda record: record.source,
)


def record(
    source: str, value: float = 72.0, *, kind: str = "scale", age: timedelta = timedelta(0), days: int = 12
) -> Record:
    return Record(source, kind, value, NOW - age, days)


@given(st.sampled_from(sorted(METRICS)), records)
def test_every_part_stays_within_its_points(metric: str, given_records: list[Record]) -> None:
    found = score(metric, given_records, NOW)
    assert found.keys() == {one.source for one in given_records}
    for one in found.values():
        assert 0 <= one.reliability <= 40
        assert 0 <= one.freshness <= 20
        assert 0 <= one.frequency <= 20
        assert 0 <= one.agreement <= 20
        assert 0 <= one.total <= 100


@given(st.sampled_from(sorted(METRICS)), records, st.randoms())
def test_the_order_of_the_sources_does_not_matter(metric: str, given_records: list[Record], random: object) -> None:
    shuffled = list(given_records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert score(metric, shuffled, NOW) == score(metric, given_records, NOW)


def test_the_best_there_is() -> None:
    found = score("weight", [record("a"), record("b"), record("c")], NOW)
    assert found["a"] == Confidence(40, 20, 20, 20)
    assert found["a"].total == 100


def test_every_metric_has_its_reliabilities() -> None:
    assert {metric for _, metric in RELIABILITIES} == METRICS.keys()
    assert {kind for kind, _ in RELIABILITIES} == set(KINDS)
    assert reliability("toaster", "weight") == 12


def test_each_metric_has_a_kind_of_source_made_for_it() -> None:
    for metric in METRICS:
        assert max(reliability(kind, metric) for kind in KINDS) >= 30
    assert max(KINDS, key=lambda kind: reliability(kind, "weight")) == "scale"
    assert max(KINDS, key=lambda kind: reliability(kind, "systolic_pressure")) == "cuff"
    assert max(KINDS, key=lambda kind: reliability(kind, "steps")) == "watch"


@pytest.mark.parametrize(("half_lives", "points"), [(-1, 20), (0, 20), (1, 10), (2, 5), (4, 1), (9, 0)])
def test_freshness_halves(half_lives: float, points: int) -> None:
    assert freshness(WEIGHT, NOW - half_lives * WEIGHT.half_life, NOW) == points


@pytest.mark.parametrize(("days", "points"), [(0, 0), (3, 5), (6, 10), (12, 20), (30, 20)])
def test_frequency_is_the_share_of_what_can_be_expected(days: int, points: int) -> None:
    assert frequency(WEIGHT, days) == points


@pytest.mark.parametrize(
    ("other", "points"),
    [(72.0, 20), (73.4, 20), (75.0, 13), (78.0, 1), (90.0, 0), (0.0, 0)],
)
def test_agreement_falls_with_the_distance(other: float, points: int) -> None:
    mine = record("a")
    assert agreement(WEIGHT, mine, [mine, record("b", other)]) == points


def test_agreement_is_with_the_middle_of_the_others() -> None:
    mine = record("a")
    assert agreement(WEIGHT, mine, [mine, record("b", 72), record("c", 72.2), record("d", 140)]) == 20


def test_a_source_alone_is_neither_confirmed_nor_contradicted() -> None:
    mine = record("a")
    long_ago = record("b", 90.0, age=3 * WEIGHT.half_life)
    assert agreement(WEIGHT, mine, [mine]) == 10
    assert agreement(WEIGHT, mine, [mine, long_ago]) == 10


def test_nothing_agrees_with_nothing() -> None:
    mine = record("a", 0.0)
    assert agreement(METRICS["floors"], mine, [mine, record("b", 0.0)]) == 20


@given(records.filter(bool), st.floats(0, 1e7))
def test_growing_older_never_adds_to_confidence(given_records: list[Record], later: float) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    before, after = (
        score("weight", given_records, moment)[given_records[0].source]
        for moment in (now, now + timedelta(seconds=later))
    )
    assert after.freshness <= before.freshness
    assert replace(after, freshness=0) == replace(before, freshness=0)
