from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from roadworthy import DeclarationError, Quota, Service
from roadworthy.limits.shares import share_of
from roadworthy.limits.spec import PRESETS, LimitSpec


@pytest.fixture
def service() -> Service:
    return Service("shop")


def test_a_limit_is_declared_by_a_text(service: Service) -> None:
    limit = service.limit("api", "100/minute", by="api_key", on_error="allow")
    assert service.spec.limits == (limit.spec,)
    assert limit.spec == LimitSpec("api", (Quota(100, timedelta(minutes=1)),), by="api_key")
    assert ("limit", "api") in service.spec.places


@pytest.mark.parametrize(("name", "count"), PRESETS.items())
def test_presets_are_of_a_minute(service: Service, name: str, count: int) -> None:
    assert service.limit("api", name).spec.quotas == (Quota(count, timedelta(minutes=1)),)


def test_burst_and_algorithm_go_to_what_is_written(service: Service) -> None:
    limit = service.limit("api", "5/15 minutes", burst=2, algorithm="token_bucket")
    assert limit.spec.quotas == (Quota(5, timedelta(minutes=15), 2, "token_bucket"),)


def test_several_quotas_have_the_capacity_of_the_least(service: Service) -> None:
    limit = service.limit("api", ["10/second", Quota.parse("50/hour", burst=5)], lease=0.4)
    assert limit.spec.capacity == 5
    assert limit.spec.most_ahead == 2


@pytest.mark.parametrize(
    ("rate", "options", "why"),
    [
        ("100 a minute", {}, "cannot be read"),
        ((), {}, "0 quotas"),
        (["5/minute", "5/minute"], {}, "same quota twice"),
        (["5/minute", "50/hour"], {"burst": 2}, "burst="),
        (Quota.parse("5/minute"), {"burst": 2}, "give them to the Quota"),
        (Quota.parse("5/minute"), {"algorithm": "sliding_log"}, "give them to the Quota"),
        ("5/minute", {"by": "session"}, "by='session'"),
        ("5/minute", {"by": None, "routes": ["*"]}, "by=None"),
        ("5/minute", {"routes": "GET /search"}, "write a sequence"),
        ("5/minute", {"routes": ["/search"]}, "the route '/search'"),
        ("5/minute", {"routes": ["*", "*"]}, "a route twice"),
        ("5/minute", {"cost": 0}, "cost=0"),
        ("5/minute", {"cost": 6}, "cost=6"),
        ("5/minute", {"on_error": "raise"}, "on_error='raise'"),
        ("5/minute", {"lease": 0.6}, "lease=0.6"),
        ("5/minute", {"lease": -0.1}, "lease=-0.1"),
        ("5/minute", {"store_timeout": timedelta(0)}, "store_timeout="),
        ("5/minute", {"store_timeout": timedelta(seconds=6)}, "store_timeout="),
        ("5/minute", {"keys": 0}, "keys=0"),
    ],
)
def test_what_cannot_work_is_refused(service: Service, rate: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=r"(?s)" + why.replace("(", r"\(")):
        service.limit("api", rate, **options)


@pytest.mark.parametrize("name", ["API", "", "a b", "x" * 51])
def test_a_name_is_plain(service: Service, name: str) -> None:
    with pytest.raises(DeclarationError, match="rename it"):
        service.limit(name, "5/minute")


def test_two_limits_have_two_names(service: Service) -> None:
    service.limit("api", "5/minute")
    with pytest.raises(DeclarationError, match="already declared"):
        service.limit("api", "6/minute")


def test_routes_are_written_as_for_an_edge(service: Service) -> None:
    routes = ["GET /search", "POST /sites/{name}/pages/{number:int}", "*"]
    assert service.limit("api", "5/minute", routes=routes).spec.routes == tuple(routes)


@pytest.mark.parametrize(
    ("text", "processes", "share"),
    [
        ("100/minute", 4, "25/minute"),
        ("10/minute", 4, "2/minute"),
        ("2/minute", 4, "1/2 minutes"),
        ("3/minute", 4, "1/2 minutes"),
        ("1/300 days", 8, "1/366 days"),
    ],
)
def test_a_share_of_a_quota_is_its_part(text: str, processes: int, share: str) -> None:
    assert share_of(Quota.parse(text), processes) == Quota.parse(share)


def test_a_share_has_its_part_of_the_burst() -> None:
    assert share_of(Quota.parse("100/minute", burst=10), 4).burst == 2
    assert share_of(Quota.parse("100/minute", burst=2), 4).burst == 1
