from __future__ import annotations

from roadworthy import Reading, Service, seconds
from roadworthy.check.catalogue import catalogue


def test_the_http_histogram_has_the_services_thresholds() -> None:
    service = Service("shop")
    service.slo("fast", objective=0.9, under=seconds(0.123))
    bounds = catalogue(service.spec, None)["http_request_duration_seconds_bucket"].labels["le"]
    assert bounds is not None
    assert {"0.123", "+Inf"} <= bounds.listed


def test_queues_and_jobs_are_the_declared_ones() -> None:
    service = Service("shop")
    queue = service.queue("mail")

    @queue.job()
    async def send() -> None: ...

    labels = catalogue(service.spec, None)["jobs_finished_total"].labels
    assert labels["queue"] is not None
    assert labels["queue"].listed == {"mail", "__other__"}
    assert labels["job"] is not None
    assert labels["job"].listed == {"send", "__other__"}
    assert labels["instance"] is None


def test_every_series_carries_what_a_scrape_adds() -> None:
    for series in catalogue(Service("shop").spec, None).values():
        assert series.open or {"job", "instance", "service"} <= set(series.labels)


def test_checks_are_the_declared_ones_and_those_that_come_with_a_service() -> None:
    service = Service("shop")

    @service.check("stock")
    async def stock() -> list[Reading]:
        return []

    values = catalogue(service.spec, None)["health_check_status"].labels["check"]
    assert values is not None
    assert {"stock", "database", "redis"} <= values.listed
    assert "stocks" not in values.listed
