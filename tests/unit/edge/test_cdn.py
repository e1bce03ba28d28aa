from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from roadworthy import Service
from roadworthy.edge.cdn import Cdn, check, cloudflare, cloudfront, fastly, varnish
from roadworthy.edge.pace import Allowance
from roadworthy.edge.purge import Purge
from roadworthy.errors import DeclarationError, InvalidPurge


def test_plans_and_limits_are_those_of_the_documents() -> None:
    assert cloudflare(zone="abc").allowance == Allowance(5 / 60, 25)
    assert cloudflare(zone="abc", plan="enterprise").sizes["url"] == 500
    assert cloudflare(zone="abc", plan="enterprise").sizes["tag"] == 100
    assert fastly(service="abc").sizes == {"url": 1, "tag": 256, "everything": 1}
    assert fastly(service="abc", calls_per_second=7.5).allowance == Allowance(7.5, 8)
    assert cloudfront(distribution="ABC").sizes["tag"] <= 3000
    assert cloudfront(distribution="ABC").sizes["prefix"] <= 15
    assert [cdn.longest_tag for cdn in (fastly(service="abc"), cloudfront(distribution="ABC"))] == [1024, 256]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cloudflare(zone="a/../b"), "zone='a/../b'"),
        (lambda: cloudflare(zone="abc", plan="gold"), "plan='gold'"),  # type: ignore[arg-type]
        (lambda: cloudflare(zone="abc", name="Cloudflare"), "'Cloudflare' must match"),
        (lambda: cloudflare(zone="abc", base_url="http://api.example"), "in the clear"),
        (lambda: cloudflare(zone="abc", base_url="https://me@api.example"), "without user"),
        (lambda: fastly(service=""), "service=''"),
        (lambda: fastly(service="abc", calls_per_second=0), "per_second=0"),
        (lambda: cloudfront(distribution="ABC", region="us east"), "region='us east'"),
        (lambda: varnish(urls=[]), "one at least"),
        (lambda: varnish(urls=["http://a", "http://a"]), "name each server once"),
        (lambda: varnish(urls=["ftp://a"]), "as in 'https://host'"),
        (lambda: varnish(urls=["http://10.0.0.7"], token="VARNISH_TOKEN"), "in the clear"),
    ],
)
def test_what_cannot_work_is_refused(make: Callable[[], Cdn], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        make()


def test_a_secret_in_the_place_of_its_variable_is_refused_and_not_repeated() -> None:
    with pytest.raises(DeclarationError, match="never the secret") as refused:
        cloudflare(zone="abc", token="v1.0-abcdef0123456789")
    assert "abcdef" not in str(refused.value)


def test_varnish_is_asked_in_the_clear_where_no_secret_goes_along() -> None:
    assert varnish(urls=["http://10.0.0.7:6081"]).variables == ()
    assert varnish(urls=["https://10.0.0.7"], token="VARNISH_TOKEN").variables == ("VARNISH_TOKEN",)


def test_a_service_declares_each_cdn_once() -> None:
    service = Service("shop")
    service.purge_with(cloudflare(zone="abc"), cloudflare(zone="def", name="assets"))
    assert [cdn.name for cdn in service.spec.cdns] == ["cloudflare", "assets"]
    with pytest.raises(DeclarationError, match="cdn 'assets' is already declared"):
        service.purge_with(fastly(service="abc", name="assets"))


@pytest.mark.parametrize("what", [{"urls": ("https://a.example/",)}, {"tags": ("a",)}, {"everything": True}])
def test_what_all_can_purge_is_let_through(what: dict[str, Any]) -> None:
    check(Purge(**what), [cloudflare(zone="abc"), fastly(service="abc"), cloudfront(distribution="ABC")])


def test_what_one_cannot_purge_is_refused() -> None:
    with pytest.raises(InvalidPurge, match="'fastly' has no purge by prefix"):
        check(Purge(prefixes=("https://a.example/",)), [cloudflare(zone="abc"), fastly(service="abc")])
