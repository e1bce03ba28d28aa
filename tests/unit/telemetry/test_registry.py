from __future__ import annotations

import pytest

from roadworthy.errors import DeclarationError
from roadworthy.telemetry.exposition import render
from roadworthy.telemetry.metrics import CATALOGUE, HTTP_REQUEST_DURATION, catalogue
from roadworthy.telemetry.registry import MetricRegistry
from roadworthy.telemetry.spec import OVERFLOW, Label, MetricSpec

SEARCHES = MetricSpec("searches_total", "counter", "Searches.", (Label("results", ("yes", "no")),))
PAGES = MetricSpec("pages_total", "counter", "Pages.", (Label("site", limit=2), Label("kind", ("html", "pdf"))))
TIME = MetricSpec("crawl_seconds", "histogram", "Crawls.", buckets=(1.0, 10.0))
WAITING = MetricSpec("waiting", "gauge", "Waiting.")


@pytest.fixture
def registry() -> MetricRegistry:
    return MetricRegistry([SEARCHES, PAGES, TIME, WAITING], service="s", service_version="2")


def overflow(registry: MetricRegistry, metric: str) -> float | None:
    return registry.value("telemetry_label_overflow_total", {"metric": metric})


def test_counting(registry: MetricRegistry) -> None:
    registry.bound(SEARCHES).labels("yes").inc()
    registry.bound("searches_total").labels("yes").inc(2)
    assert registry.value("searches_total", {"results": "yes"}) == 3


def test_a_child_is_made_once(registry: MetricRegistry) -> None:
    pages = registry.bound(PAGES)
    assert pages.labels("a", "html") is pages.labels("a", "html")


def test_series_of_enumerated_labels_are_born_at_zero(registry: MetricRegistry) -> None:
    assert registry.value("searches_total", {"results": "no"}) == 0
    assert registry.value("crawl_seconds_count") == 0
    assert registry.value("pages_total", {"site": "a", "kind": "html"}) is None


def test_too_many_enumerated_series_are_born_when_used() -> None:
    digits = tuple(map(str, range(40)))
    spec = MetricSpec("many_total", "counter", "Many.", (Label("a", digits), Label("b", digits)))
    registry = MetricRegistry([spec])
    assert registry.value("many_total", {"a": "1", "b": "1"}) is None
    registry.bound(spec).labels("1", "1").inc()
    assert registry.value("many_total", {"a": "1", "b": "1"}) == 1


def test_an_undeclared_value_is_folded_and_counted(registry: MetricRegistry) -> None:
    for _ in range(3):
        registry.bound(SEARCHES).labels("perhaps").inc()
    assert registry.value("searches_total", {"results": OVERFLOW}) == 3
    assert overflow(registry, "searches_total") == 3


def test_values_past_the_cap_are_folded_and_counted(registry: MetricRegistry) -> None:
    pages = registry.bound(PAGES)
    for site in ("a", "b", "c", "d", "a"):
        pages.labels(site, "html").inc()
    assert registry.value("pages_total", {"site": "a", "kind": "html"}) == 2
    assert registry.value("pages_total", {"site": OVERFLOW, "kind": "html"}) == 2
    assert overflow(registry, "pages_total") == 2


def test_the_number_of_series_is_bounded_whatever_comes(registry: MetricRegistry) -> None:
    pages = registry.bound(PAGES)
    for number in range(1000):
        pages.labels(f"site{number}", f"kind{number}").inc()
    assert len(pages._children) <= 3 * 3


@pytest.mark.parametrize("values", [(), ("a",), ("a", "html", "x")])
def test_the_number_of_label_values_must_fit(registry: MetricRegistry, values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"its labels are: site, kind"):
        registry.bound(PAGES).labels(*values)


def test_label_values_that_are_no_text_become_text(registry: MetricRegistry) -> None:
    registry.bound(PAGES).labels(1, "html").inc()  # type: ignore[arg-type]
    registry.bound(PAGES).labels(True, "html").inc()  # type: ignore[arg-type]
    assert registry.value("pages_total", {"site": "1", "kind": "html"}) == 1
    assert registry.value("pages_total", {"site": "True", "kind": "html"}) == 1


def test_a_gauge_can_be_tracked(registry: MetricRegistry) -> None:
    waiting = [3.0]
    registry.bound(WAITING).track(lambda: waiting[0])
    assert registry.value("waiting") == 3
    waiting[0] = 5
    assert registry.value("waiting") == 5


@pytest.mark.parametrize("spec", [SEARCHES, TIME])
def test_only_a_gauge_without_labels_can_be_tracked(registry: MetricRegistry, spec: MetricSpec) -> None:
    with pytest.raises(TypeError, match="only such a one can be tracked"):
        registry.bound(spec).track(lambda: 1)


def test_an_undeclared_metric_is_an_error_that_names_the_fix(registry: MetricRegistry) -> None:
    with pytest.raises(DeclarationError, match=r"'visits_total' is not declared; declare it"):
        registry.bound("visits_total")


def test_one_name_has_one_meaning() -> None:
    other = MetricSpec("searches_total", "counter", "Something else.")
    MetricRegistry([SEARCHES, SEARCHES])
    with pytest.raises(DeclarationError, match="declared twice, differently"):
        MetricRegistry([SEARCHES, other])


def test_a_name_that_a_histogram_already_uses_is_refused() -> None:
    with pytest.raises(DeclarationError, match="cannot be registered"):
        MetricRegistry([TIME, MetricSpec("crawl_seconds_count", "gauge", "Crawls.")])


def test_registries_do_not_meet() -> None:
    first, second = MetricRegistry([SEARCHES]), MetricRegistry([SEARCHES])
    first.bound(SEARCHES).labels("yes").inc()
    assert second.value("searches_total", {"results": "yes"}) == 0


def test_a_registry_tells_what_runs_and_of_its_process(registry: MetricRegistry) -> None:
    text = render(registry.snapshot())
    assert 'roadworthy_info{service="s",service_version="2"' in text
    assert "process_resident_memory_bytes " in text
    assert "_created" not in text


def test_the_http_histogram_takes_the_services_buckets() -> None:
    fitted = {spec.name: spec for spec in catalogue((0.2, 0.4))}
    assert fitted[HTTP_REQUEST_DURATION.name].buckets == (0.2, 0.4)
    assert len(fitted) == len(CATALOGUE)
    MetricRegistry(catalogue())
