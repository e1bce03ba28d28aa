"""What is sent to each API, and what its answers mean."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.edge.api import Api, by_status, clean, retry_after
from roadworthy.edge.cdn import cloudflare, cloudfront, fastly, varnish
from roadworthy.edge.client import Response
from roadworthy.edge.cloudflare import CloudflareApi
from roadworthy.edge.cloudfront import CloudFrontApi
from roadworthy.edge.fastly import FastlyApi
from roadworthy.edge.purge import Batch, Kind
from roadworthy.edge.purger import apis
from roadworthy.edge.signature import Credentials
from roadworthy.edge.tags import canonical_tag
from roadworthy.edge.varnish import VarnishApi, tag_pattern

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
PREFIX = "https://shop.example/assets/v1.0"


@dataclass
class Recorder:
    """A client that answers as told."""

    response: Response = field(default_factory=lambda: Response(200, {}, b'{"success": true}'))
    requests: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        self.requests.append((method, url, dict(headers), body))
        return self.response


def batch(kind: Kind, *values: str) -> Batch:
    return Batch(kind, values or ("",), "reference-1", 0.0)


def made(cdn: str, client: Recorder) -> Api:
    match cdn:
        case "cloudflare":
            return CloudflareApi(cloudflare(zone="abc"), "secret-token", client, lambda: NOW)
        case "fastly":
            return FastlyApi(fastly(service="abc", soft=False), "secret-token", client, lambda: NOW)
        case "cloudfront":
            keys = Credentials("KEY", "secret-token")
            return CloudFrontApi(cloudfront(distribution="ABC"), keys, client, lambda: NOW)
    return VarnishApi("http://10.0.0.7:6081/", "secret-token", client, lambda: NOW)


CDNS = ("cloudflare", "fastly", "cloudfront", "varnish")


@pytest.mark.parametrize("cdn", CDNS)
@pytest.mark.parametrize(
    ("status", "headers", "verdict", "after"),
    [
        (429, {"retry-after": "7"}, "limited", 7.0),
        (429, {}, "limited", None),
        (503, {"retry-after": "Tue, 01 Jan 2030 12:00:30 GMT"}, "limited", 30.0),
        (500, {}, "later", None),
        (503, {}, "later", None),
        (408, {}, "later", None),
        (400, {}, "invalid", None),
        (413, {}, "invalid", None),
        (401, {}, "denied", None),
        (403, {}, "denied", None),
        (404, {}, "denied", None),
        (302, {"location": "https://elsewhere.example/"}, "denied", None),
    ],
)
async def test_what_a_status_means(
    cdn: str, status: int, headers: dict[str, str], verdict: str, after: float | None
) -> None:
    api = made(cdn, Recorder(Response(status, headers, b"<html>secret-token")))
    answer = await api.send(batch("tag", "a"))
    assert (answer.verdict, answer.after) == (verdict, after)
    assert str(status) in answer.reason
    assert "secret" not in answer.reason


@pytest.mark.parametrize("cdn", CDNS)
async def test_a_status_of_success(cdn: str) -> None:
    assert (await made(cdn, Recorder()).send(batch("everything"))).verdict == "accepted"


@pytest.mark.parametrize(
    ("status", "document", "verdict"),
    [
        (200, {"success": False, "errors": [{"code": 1016, "message": "bad url"}]}, "invalid"),
        (200, {"success": False, "errors": [{"code": 1134, "message": "Rate limit reached"}]}, "limited"),
        (200, {"success": False}, "invalid"),
        (200, ["what"], "later"),
        (400, {"success": False, "errors": [{"code": 6003, "message": "Invalid request headers"}]}, "denied"),
        (400, {"success": False, "errors": [{"code": 1012, "message": "no"}, "odd"]}, "invalid"),
    ],
)
async def test_cloudflare_says_in_the_body_what_it_means(status: int, document: object, verdict: str) -> None:
    api = made("cloudflare", Recorder(Response(status, {}, json.dumps(document).encode())))
    assert (await api.send(batch("tag", "a"))).verdict == verdict


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (400, "TooManyInvalidationsInProgress", "later"),
        (400, "Throttling", "limited"),
        (400, "InvalidArgument", "invalid"),
        (413, "BatchTooLarge", "invalid"),
        (400, "InvalidationBatchAlreadyExists", "invalid"),
        (400, "IncompleteSignature", "denied"),
        (403, "AccessDenied", "denied"),
        (404, "NoSuchDistribution", "denied"),
        (503, "ServiceUnavailable", "later"),
    ],
)
async def test_cloudfront_says_by_a_code_what_it_means(status: int, code: str, verdict: str) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>It&apos;s &lt;so&gt;</Message></Error></ErrorResponse>"
    answer = await made("cloudfront", Recorder(Response(status, {}, body.encode()))).send(batch("tag", "a"))
    assert answer.verdict == verdict
    assert code in answer.reason


async def test_fastly_has_a_hard_purge_and_none_by_prefix() -> None:
    client = Recorder()
    api = made("fastly", client)
    await api.send(batch("url", "https://shop.example/a?b=1"))
    assert client.requests == [
        ("POST", "https://api.fastly.com/purge/shop.example/a?b=1", {**_fastly()}, b""),
    ]
    assert (await api.send(batch("prefix", PREFIX))).verdict == "denied"


def _fastly() -> dict[str, str]:
    return {"Fastly-Key": "secret-token", "Accept": "application/json"}


async def test_varnish_is_purged_of_a_url_and_bans_what_is_wider() -> None:
    client = Recorder()
    api = made("varnish", client)
    for one in (
        batch("url", "https://shop.example/a?b=1"),
        batch("tag", "site:7", "a.b"),
        batch("prefix", PREFIX),
        batch("everything"),
    ):
        await api.send(one)

    bearer = {"Authorization": "Bearer secret-token"}
    base = "http://10.0.0.7:6081"
    assert client.requests == [
        ("PURGE", f"{base}/a?b=1", {**bearer, "Host": "shop.example"}, b""),
        ("BAN", f"{base}/", {**bearer, "Cache-Tag-Pattern": r"(^|,)(site:7|a\.b)(,|$)"}, b""),
        ("BAN", f"{base}/", {**bearer, "Host": "shop.example", "Url-Pattern": r"^/assets/v1\.0"}, b""),
        ("BAN", f"{base}/", {**bearer, "Url-Pattern": "."}, b""),
    ]


async def test_every_varnish_server_is_asked_for_itself() -> None:
    client = Recorder()
    for api in apis(varnish(urls=["http://a", "http://b"]), {}, client, lambda: NOW):
        await api.send(batch("everything"))
    assert [url for _, url, _, _ in client.requests] == ["http://a/", "http://b/"]


@given(st.text(min_size=1), st.lists(st.text(min_size=1), max_size=3))
def test_a_pattern_of_tags_matches_a_header_that_has_one_of_them_whole(text: str, others: list[str]) -> None:
    tag = canonical_tag(text)
    rest = [other for other in map(canonical_tag, others) if other != tag]
    pattern = re.compile(tag_pattern([tag]))
    assert pattern.search(",".join([*rest, tag, *rest]))
    assert not pattern.search(",".join(rest))
    assert not pattern.search(f"x{tag}x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("Tue, 01 Jan 2030 12:01:00 GMT", 60.0),
        ("Tue, 01 Jan 2030 11:00:00 GMT", 0.0),
        ("Tue, 01 Jan 2030 12:01:00", 60.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("٣", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, NOW) == seconds


def test_what_a_cdn_says_is_cut_to_one_short_line() -> None:
    assert clean("a\nb\tc my-secret d", ["my-secret"]) == "a b c *** d"
    assert len(clean("x" * 5000, [])) == 300
    assert by_status(Response(500, {}, b""), "", NOW).reason == "500"
