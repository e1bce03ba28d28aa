from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from roadworthy.telemetry.exposition import (
    EMPTY,
    Exemplar,
    Family,
    Series,
    Snapshot,
    completed,
    decode,
    encode,
    merge,
    negotiated,
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
    series = Series(tuple(labels.values()), (value,))
    return Snapshot((Family(name, kind, "Help.", across, tuple(labels), (), (series,)),))


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
    family = Family("g", "gauge", "a\\b\nc", "sum")
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


def timed(value: float, *exemplars: Exemplar) -> Snapshot:
    series = Series(("GET",), (0.0, value, 0.0, value * 3), exemplars)
    return Snapshot((Family("took_seconds", "histogram", "Time.", "sum", ("method",), (1.0, 10.0), (series,)),))


def test_openmetrics_is_what_a_strict_parser_reads() -> None:
    merged = merge({"web": process(2, 1), "worker": process(5, 2)})
    read = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in openmetrics_families(render(merged, "openmetrics"))  # type: ignore[no-untyped-call]
        for sample in family.samples
    }
    assert read == parsed(render(merged))


def test_the_newest_exemplar_of_a_bucket_survives_the_merge() -> None:
    old, new = Exemplar(1, "a" * 32, 2.0, 100.0), Exemplar(1, "b" * 32, 3.0, 200.0)
    merged = merge({"web": timed(1, new), "other": timed(1, old)}, retire(EMPTY, timed(1, Exemplar(2, "c", 20, 50.0))))
    found = {
        sample.labels["le"]: (sample.exemplar.labels, sample.exemplar.value, float(sample.exemplar.timestamp))
        for family in openmetrics_families(render(merged, "openmetrics"))  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }
    assert found == {"10.0": ({"trace_id": "b" * 32}, 3.0, 200.0), "+Inf": ({"trace_id": "c"}, 20.0, 50.0)}
    assert "trace_id" not in render(merged)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "text"),
        ("*/*", "text"),
        ("text/plain;version=0.0.4", "text"),
        ("application/openmetrics-text", "openmetrics"),
        ("application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.3", "openmetrics"),
        ("text/plain;q=0.9, Application/OpenMetrics-Text;q=0.5", "text"),
        ("application/openmetrics-text;q=0", "text"),
    ],
)
def test_openmetrics_is_written_for_who_asks_for_it(accept: str, form: str) -> None:
    assert negotiated(accept) == form


def test_what_a_ledger_kept_completes_what_a_process_told() -> None:
    told = merge({"": timed(1, Exemplar(1, "a", 2.0, 1.0))}, one("in_progress", "gauge", 4))
    kept = merge({"": timed(2)}, one("jobs_total", "counter", 3))
    found = completed(told, kept)
    assert values(found)["took_seconds_count", (("method", "GET"),)] == 2
    assert values(found)["jobs_total", ()] == 3
    assert values(found)["in_progress", ()] == 4
    assert found.families[0].series[0].exemplars


def test_another_shape_under_a_known_name_is_left_out() -> None:
    other = Family("took_seconds", "histogram", "Time.", "sum", (), (1.0,), (Series((), (1.0, 1.0, 1.0)),))
    assert merge({"new": timed(1)}, Snapshot((other,))) == merge({"new": timed(1)})
