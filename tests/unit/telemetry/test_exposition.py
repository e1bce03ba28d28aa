from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from roadworthy.telemetry.exposition import (
    EMPTY,
    Family,
    Sample,
    Snapshot,
    decode,
    encode,
    merge,
    render,
    retire,
)
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.telemetry.spec import Across, Kind, Label, MetricSpec

SPECS = (
    MetricSpec("jobs_total", "counter", "Jobs.", (Label("queue", ("mail", "crawl")),)),
    MetricSpec("job_seconds", "histogram", "Time.", buckets=(1.0, 10.0)),
    MetricSpec("in_progress", "gauge", "Now."),
    MetricSpec("newest_timestamp_seconds", "gauge", "Newest.", across="max"),
    MetricSpec("connections", "gauge", "Connections.", across="each"),
)


def process(jobs: float, gauge: float) -> Snapshot:
    registry = MetricRegistry(SPECS)
    registry.bound("jobs_total").labels("mail").inc(jobs)
    registry.bound("job_seconds").labels().observe(jobs)
    for name in ("in_progress", "newest_timestamp_seconds", "connections"):
        registry.bound(name).labels().set(gauge)
    return registry.snapshot()


def values(snapshot: Snapshot) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(sample.name, sample.labels): sample.value for family in snapshot.families for sample in family.samples}


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def one(name: str, kind: Kind, value: float, across: Across = "sum", **labels: str) -> Snapshot:
    return Snapshot((Family(name, kind, "Help.", across, (Sample(name, tuple(labels.items()), value),)),))


def test_counters_and_histograms_are_added_up() -> None:
    found = values(merge({"web": process(2, 1), "worker": process(5, 1)}))
    assert found["jobs_total", (("queue", "mail"),)] == 7
    assert found["jobs_total", (("queue", "crawl"),)] == 0
    assert found["job_seconds_sum", ()] == 7
    assert found["job_seconds_bucket", (("le", "1.0"),)] == 0
    assert found["job_seconds_bucket", (("le", "10.0"),)] == 2
    assert found["job_seconds_count", ()] == 2


def test_gauges_follow_their_metric() -> None:
    found = values(merge({"web": process(1, 3), "worker": process(1, 4)}))
    assert found["in_progress", ()] == 7
    assert found["newest_timestamp_seconds", ()] == 4
    assert found["connections", (("process", "web"),)] == 3
    assert found["connections", (("process", "worker"),)] == 4


def test_each_process_tells_of_itself() -> None:
    merged = merge({"web": process(1, 1), "worker": process(1, 1)})
    memory = [labels for name, labels in values(merged) if name == "process_resident_memory_bytes"]
    assert memory == [(("process", "web"),), (("process", "worker"),)]


def test_a_total_never_goes_backwards_when_a_process_ends() -> None:
    first, second = process(3, 1), process(4, 1)
    before = values(merge({"a": first, "b": second}))
    archive = retire(EMPTY, first)
    after = values(merge({"b": second, "a": process(0, 0)}, archive))
    rising = [series for series in before if series[0].startswith("job") and series[0] != "job_seconds_count"]
    assert all(after[series] >= before[series] for series in rising)
    archive = retire(archive, second)
    assert values(merge({}, archive))["jobs_total", (("queue", "mail"),)] == 7


def test_gauges_and_process_counters_end_with_their_process() -> None:
    names = {family.name for family in retire(EMPTY, process(1, 1)).families}
    assert {"jobs_total", "job_seconds"} <= names
    assert not names & {"in_progress", "connections", "process_cpu_seconds_total", "roadworthy_info"}


def test_a_snapshot_travels() -> None:
    snapshot = process(1, 2)
    assert decode(encode(snapshot)) == snapshot


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1.0"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1e300, "1e+300")]
)
def test_numbers(value: float, text: str) -> None:
    assert render(one("g", "gauge", value)).splitlines()[-1] == f"g {text}"


def test_help_is_escaped() -> None:
    family = Family("g", "gauge", "a\\b\nc", "sum", ())
    assert render(Snapshot((family,))) == "# HELP g a\\\\b\\nc\n# TYPE g gauge\n"


@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_any_label_value_survives_the_text_format(value: str) -> None:
    text = render(one("jobs_total", "counter", 1, queue=value))
    assert text.count("\n") == 3
    assert parsed(text) == {("jobs_total", (("queue", value),)): 1.0}


def test_a_parser_reads_back_what_was_merged() -> None:
    merged = merge({"web": process(2, 1), "worker": process(5, 2)})
    expected = {(name, tuple(sorted(labels))): value for (name, labels), value in values(merged).items()}
    assert parsed(render(merged)) == expected


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=6), st.data())
def test_it_does_not_matter_which_processes_are_dead(counts: list[float], data: st.DataObject) -> None:
    snapshots = {f"p{index}": one("jobs_total", "counter", count) for index, count in enumerate(counts)}
    dead = data.draw(st.sets(st.sampled_from(sorted(snapshots))))
    archive = EMPTY
    for name in sorted(dead):
        archive = retire(archive, snapshots[name])
    alive = {name: snapshot for name, snapshot in snapshots.items() if name not in dead}
    total = values(merge(alive, archive))["jobs_total", ()]
    assert total == pytest.approx(math.fsum(counts))
