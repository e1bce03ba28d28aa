from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from roadworthy import Service, cloudflare, days, hours, immutable, minutes, private, secret, shared
from roadworthy.edge.tags import Front
from roadworthy.emit.cloudflare import cloudflare_worker
from roadworthy.emit.edge import edge_files
from roadworthy.emit.nginx import nginx_http, nginx_location
from roadworthy.emit.routes import edge_routes
from roadworthy.emit.varnish import Origin, varnish_vcl


def service(*fronts: Front) -> Service:
    service = Service("my-shop")
    service.edge("GET /sites/{site}", shared(edge=minutes(5), query=("q", "page.no"), stale_if_error=hours(2)))
    service.edge("GET /sites/me", private())
    service.edge("GET /straße", shared(edge=minutes(5), vary={"Accept-Language": ("de", "en")}, cookies="ignored"))
    service.edge("GET /static/{path}", immutable())
    service.edge("POST /login", secret())
    service.edge("image/*", shared(edge=days(1)))
    for front in fronts:
        service.behind(front)
    return service


def test_there_are_the_files_of_what_the_service_is_behind() -> None:
    assert list(edge_files(service().spec)) == []
    assert list(edge_files(service("nginx").spec)) == ["nginx/http.conf", "nginx/location.conf"]
    assert list(edge_files(service("varnish", "fastly").spec)) == ["varnish/default.vcl"]
    behind = service("cloudflare")
    assert list(edge_files(behind.spec)) == ["cloudflare/worker.js"]
    plain = Service("shop")
    plain.edge("GET /", shared(edge=minutes(1)))
    plain.purge_with(cloudflare(zone="z"))
    assert list(edge_files(plain.spec)) == []


def test_the_same_declaration_gives_the_same_text() -> None:
    fronts: tuple[Front, ...] = ("nginx", "varnish", "cloudflare")
    assert edge_files(service(*fronts).spec) == edge_files(service(*fronts).spec)


def test_routes_without_parameters_are_met_first_and_only_where_something_is_to_be_done() -> None:
    routes = edge_routes(service().spec.edges)
    assert [route.spec.name for route in routes] == [
        "GET /sites/me",
        "GET /straße",
        "GET /sites/{site}",
        "GET /static/{path}",
    ]
    assert [route.policy.is_treated for route in routes] == [False, True, True, False]
    assert routes[1].raw == "/stra%C3%9Fe"
    assert (routes[2].decoded, routes[2].raw) == ("/sites/(?:[^/]+)", "/sites/(?:[^/?]+)")
    assert routes[3].raw == "/static/(?:[^?]*)"
    plain = Service("shop")
    plain.edge("GET /", shared(edge=minutes(1)))
    assert edge_routes(plain.spec.edges) == ()


def test_nginx_keeps_what_is_not_asked_for_as_long_as_it_may_be_served() -> None:
    text = nginx_http(service("nginx").spec, cache="/tmp/kept")
    assert "proxy_cache_path /tmp/kept levels=1:2 keys_zone=my_shop_edge:10m" in text
    assert "inactive=2592000s" in text
    short = Service("shop")
    short.edge("GET /", shared(edge=minutes(5), stale=minutes(1), stale_if_error=hours(1)))
    assert "inactive=3900s" in nginx_http(short.spec)
    assert "if ($" not in nginx_location(short.spec)


def test_nginx_leaves_cloudfront_what_it_reads() -> None:
    assert "(?:s-maxage|stale-[a-z-]+)=" in nginx_http(service("nginx").spec)
    assert "(?:s-maxage" not in nginx_http(service("nginx", "cloudfront").spec)
    assert "proxy_hide_header Cache-Tag;" in nginx_location(service("nginx", "varnish").spec)
    assert "proxy_hide_header Cache-Tag;" not in nginx_location(service("nginx", "cloudfront").spec)


def test_varnish_is_told_where_the_service_is_and_who_may_purge() -> None:
    text = varnish_vcl(service("varnish").spec, origin=Origin("10.0.0.7", 8080), purgers=("10.0.0.8",))
    assert '.host = "10.0.0.7";\n    .port = "8080";' in text
    assert 'acl purgers {\n    "10.0.0.8";\n}' in text
    assert "unset resp.http.Cache-Tag;" in text
    assert "unset resp.http.Cache-Tag;" not in varnish_vcl(service("varnish", "fastly").spec, origin=Origin())


def test_a_worker_is_for_routes_with_keys_of_their_own() -> None:
    plain = Service("shop")
    plain.edge("GET /", shared(edge=minutes(1), cookies="ignored"))
    assert cloudflare_worker(plain.spec) is None
    assert cloudflare_worker(service().spec) is not None


@pytest.mark.needs("node")
def test_the_worker_asks_for_what_counts(tmp_path: Path) -> None:
    worker = cloudflare_worker(service("cloudflare").spec)
    assert worker is not None
    (tmp_path / "worker.mjs").write_text(worker)
    (tmp_path / "ask.mjs").write_text(
        """
        import { keyed } from "./worker.mjs";
        const ask = (path, headers = {}) => {
          const key = keyed(new Request("https://shop.example" + path, { headers }));
          return key && key.url.slice("https://shop.example".length);
        };
        console.log(JSON.stringify([
          ask("/sites/a?utm=1&page.no=2&q=x"),
          ask("/sites/me?q=1"),
          ask("/other"),
          ask("/sites/a", { authorization: "x" }),
          ask("/stra%C3%9Fe", { "accept-language": "fr,de-AT;q=0.5", authorization: "" }),
          ask("/stra%C3%9Fe?edge-variant=x", { "accept-language": "fr" }),
        ]));
        """
    )
    done = subprocess.run(["node", str(tmp_path / "ask.mjs")], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [
        "/sites/a?q=x&page.no=2",
        None,
        None,
        None,
        None,
        "/stra%C3%9Fe?edge-variant=",
    ]
