from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from roadworthy import DeclarationError, InvalidArguments, NotRunning, Service, days, hours, minutes, seconds
from roadworthy.binding import Binding
from roadworthy.jobs.memory import MemoryEngine
from roadworthy.telemetry.registry import MetricRegistry


async def _nothing() -> None: ...


def test_durations_say_what_they_are() -> None:
    assert seconds(90) == minutes(1.5)
    assert hours(24) == days(1)


@pytest.mark.parametrize(
    ("declare", "rule"),
    [
        (lambda: Service("Site Search"), "must match"),
        (lambda: Service("s", app="module"), "package.module:attribute"),
        (lambda: Service("s", request_buckets=(0.5, 0.1)), "strictly rising"),
        (lambda: Service("s", request_buckets=()), "strictly rising"),
        (lambda: Service("s").database("Main"), "must match"),
        (lambda: Service("s").database(pool=(5, 2)), "smallest <= largest"),
        (lambda: Service("s").queue("Crawling"), "must match"),
        (lambda: Service("s").queue("q", attempts=0), "at least 1"),
        (lambda: Service("s").queue("q", lease=seconds(0.5)), "at least a second"),
        (lambda: Service("s").queue("q", workers=(3, 2)), "fewest <= most"),
        (lambda: Service("s").queue("q", concurrency=0), "at least 1"),
        (lambda: Service("s").queue("q", target_latency=seconds(0)), "positive"),
        (lambda: Service("s").queue("q", scale_in_after=hours(2)), "from 0 to an hour"),
        (lambda: Service("s").queue("q").job(timeout=seconds(0))(_nothing), "positive"),
        (lambda: Service("s").queue("q").job(priority=40_000)(_nothing), "must fit"),
        (lambda: Service("s").queue("q").job(every=minutes(1), cron="* * * * *")(_nothing), "keep one"),
        (lambda: Service("s").queue("q").job(every=seconds(0.1))(_nothing), "at least a second"),
        (lambda: Service("s").queue("q").job(attempts=0)(_nothing), "at least 1"),
        (lambda: Service("s").queue("q").job(unique="{url}")(_nothing), "no parameter 'url'"),
        (lambda: Service("s").queue("q", keep_dead=seconds(0)), "keep_dead="),
        (lambda: Service("s").queue("q").job(unique_for=minutes(1))(_nothing), "add unique="),
        (lambda: Service("s").queue("q").job(unique_while="waiting")(_nothing), "add unique="),
        (lambda: Service("s").queue("q").job(unique="", unique_while=_any("ever"))(_nothing), "'waiting', 'alive'"),
        (lambda: Service("s").queue("q").job(unique="", unique_for=seconds(-1))(_nothing), "unique_for="),
        (lambda: Service("s").queue("q").job(keep=seconds(0))(_nothing), "keep="),
        (lambda: Service("s").queue("q").job(version=0)(_nothing), "count from 1"),
        (lambda: Service("s").queue("q").job(version=2)(_nothing), "give an upgrade="),
        (lambda: Service("s").queue("q").job(upgrade=_any("x"))(_nothing), "give an upgrade="),
        (lambda: Service("s").counter("searches", "Searches"), "_total"),
        (lambda: Service("s").gauge("depth_total", "Depth"), "_total"),
        (lambda: Service("s").counter("a_total", " "), "help text"),
        (lambda: Service("s").counter("a_total", "A", labels={"job": ("x",)}), "Prometheus sets"),
        (lambda: Service("s").counter("a_total", "A", labels={"kind": ()}), "allows no value"),
        (lambda: Service("s").histogram("h_seconds", "H", buckets=(2, 1)), "strictly rising"),
        (lambda: Service("s").slo("Fast", objective=0.9), "must match"),
        (lambda: Service("s").slo("fast", objective=99.9), "between 0 and 1"),
        (lambda: Service("s").slo("fast", objective=0.9, under=seconds(-1)), "longer than nothing"),
        (lambda: Service("s").slo("fast", objective=0.9, metric="h_seconds"), "under="),
        (lambda: Service("s").slo("fast", objective=0.9, route="/search"), "GET /search"),
        (lambda: Service("s").alert("low", expr="up", severity="warning", runbook="Look"), "CamelCase"),
        (lambda: Service("s").alert("Low", expr=" ", severity="warning", runbook="Look"), "empty expression"),
        (lambda: Service("s").alert("Low", expr="up", severity="warning", runbook=" "), "no runbook"),
        (lambda: Service("s").alert("Low", expr="up", severity=_any("page"), runbook="Look"), "critical, warning"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_with_its_rule(declare: Any, rule: str) -> None:
    with pytest.raises(DeclarationError, match=rule):
        declare()


def _any(value: str) -> Any:
    return value


@pytest.mark.parametrize(
    "declare",
    [
        lambda service: service.queue("twice"),
        lambda service: service.counter("twice_total", "Twice"),
        lambda service: service.slo("twice", objective=0.9),
        lambda service: service.alert("Twice", expr="up == 0", severity="critical", runbook="Look"),
    ],
)
def test_a_name_is_declared_once_and_the_error_names_both_places(declare: Any) -> None:
    service = Service("demo")
    declare(service)

    with pytest.raises(DeclarationError, match=rf"{Path(__file__).name}:\d+: .*{Path(__file__).name}:\d+; rename"):
        declare(service)


def test_a_service_has_one_database() -> None:
    service = Service("demo")
    service.database()

    with pytest.raises(DeclarationError, match="second one"):
        service.database("other")


def test_the_spec_holds_every_declaration_with_its_place() -> None:
    service = Service("demo", version="1.2.3", owner="search", app="demo.api:app")
    service.database(migrations="migrations")
    queue = service.queue("work", workers=3)
    queue.job(unique="{url}")(_with_url)
    service.counter("seen_total", "Seen", labels={"kind": ["a", "b"]})
    service.slo("fast", objective=0.9, under=seconds(0.2), route="GET /search")
    service.alert("Low", expr="up == 0", for_=hours(1), severity="business", runbook="Look")

    spec = service.spec

    assert (spec.name, spec.version, spec.owner, spec.app) == ("demo", "1.2.3", "search", "demo.api:app")
    assert spec.database is not None
    assert spec.database.migrations == Path(__file__).parent / "migrations"
    assert spec.queues[0].workers == (3, 3)
    assert spec.jobs[0].name == "_with_url"
    assert spec.jobs[0].attempts == spec.queues[0].attempts
    assert spec.metrics[0].labels[0].values == ("a", "b")
    assert spec.objectives[0].route_parts == ("GET", "/search")
    assert spec.alerts[0].duration == timedelta(hours=1)
    assert set(spec.places) == {
        ("database", "main"),
        ("queue", "work"),
        ("job", "_with_url"),
        ("metric", "seen_total"),
        ("objective", "fast"),
        ("alert", "Low"),
    }
    assert all(Path(__file__).name in place for place in spec.places.values())


async def _with_url(url: str, depth: int = 0) -> None: ...


def test_request_buckets_hold_every_threshold_and_one_above() -> None:
    service = Service("demo")
    service.slo("quick", objective=0.9, under=seconds(0.2))
    service.slo("slow", objective=0.9, under=seconds(30))

    assert 0.2 in service.spec.request_buckets
    assert service.spec.request_buckets[-2:] == (30, 60)


def test_request_buckets_given_are_kept_as_they_are() -> None:
    service = Service("demo", request_buckets=(0.1, 1))
    service.slo("quick", objective=0.9, under=seconds(0.2))

    assert service.spec.request_buckets == (0.1, 1)


async def test_a_handle_used_while_nothing_runs_says_what_to_do() -> None:
    service = Service("demo")
    database = service.database()
    job = service.queue("work").job()(_with_url)
    counter = service.counter("seen_total", "Seen")

    with pytest.raises(NotRunning, match=r"database 'main' was used .* `roadworthy run`"):
        await database.fetch("SELECT 1")
    with pytest.raises(NotRunning, match="job '_with_url'"):
        await job.enqueue("https://example.org")
    with pytest.raises(NotRunning, match="metric 'seen_total'"):
        counter.inc()


def _binding(service: Service) -> Binding:
    return Binding(pool=_any("no pool"), engine=MemoryEngine(), metrics=MetricRegistry(service.spec.metrics))


async def test_enqueue_adds_what_the_declaration_and_the_options_say() -> None:
    service = Service("demo")
    job = service.queue("work", attempts=7).job(unique="{url}", priority=3)(_with_url)

    async with service.bind(_binding(service)):
        assert service.bound
        first = await job.enqueue("a")
        again = await job.enqueue(url="a")
        many = await job.enqueue_many([{"url": "b"}, {"url": "b", "depth": 2}])
        later = await job.with_options(delay=minutes(5), priority=1).enqueue("c")
        records = {record.id: record for record in await service.binding("test").engine.operations.jobs()}

    assert first is not None
    assert later is not None
    assert again is None
    assert many[0] is not None
    assert many[1] is None
    assert records[first].arguments == b'{"url":"a","depth":0}'
    assert (records[first].attempts, records[first].priority, records[first].state) == (7, 3, "ready")
    assert (records[later].priority, records[later].state) == (1, "scheduled")
    assert not service.bound


async def test_arguments_that_do_not_fit_are_refused_when_enqueued() -> None:
    service = Service("demo")
    job = service.queue("work").job()(_with_url)

    async with service.bind(_binding(service)):
        with pytest.raises(InvalidArguments, match="missing a required argument: 'url'"):
            await _any(job).enqueue()
        with pytest.raises(InvalidArguments, match=r"Expected `int`, got `str` - at `\$\.depth`"):
            await _any(job).enqueue("a", depth="deep")


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"run_at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - the point of the test
        ({"delay": seconds(-1)}, "negative"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], rule: str) -> None:
    job = Service("demo").queue("work").job()(_with_url)

    with pytest.raises(ValueError, match=rule):
        job.with_options(**options)


async def test_calling_a_job_runs_its_function() -> None:
    seen: list[str] = []
    service = Service("demo")

    @service.queue("work").job()
    async def note(text: str) -> None:
        seen.append(text)

    await note("hello")

    assert seen == ["hello"]
    assert note.name == "note"


async def test_metrics_take_exactly_their_labels() -> None:
    service = Service("demo")
    counter = service.counter("seen_total", "Seen", labels={"kind": ("a", "b")})
    gauge = service.gauge("depth", "Depth")
    histogram = service.histogram("took_seconds", "Took")

    async with service.bind(_binding(service)):
        counter.inc(kind="a")
        gauge.set(3)
        gauge.inc(-1)
        histogram.observe(0.2)
        with pytest.raises(ValueError, match="takes kind, but was given none"):
            counter.inc()
        with pytest.raises(ValueError, match="takes no labels, but was given kind"):
            gauge.set(1, kind="a")


async def test_a_service_runs_once_at_a_time_in_a_process() -> None:
    service = Service("demo")

    async with service.bind(_binding(service)):
        with pytest.raises(DeclarationError, match="already running"):
            await service.bind(_binding(service)).__aenter__()


async def test_what_is_declared_while_the_service_runs_is_refused() -> None:
    service = Service("demo")
    queue = service.queue("work")

    async with service.bind(_binding(service)):
        with pytest.raises(DeclarationError, match="queue 'late' is declared while the service runs"):
            service.queue("late")
        with pytest.raises(DeclarationError, match="job '_nothing' is declared while"):
            queue.job()(_nothing)
        with pytest.raises(DeclarationError, match="resource '_opener' is declared while"):
            service.resource(_opener)
    service.queue("later")


def _opener() -> Any: ...
