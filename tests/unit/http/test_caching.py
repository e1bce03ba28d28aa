from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cached_origin import Asked, Cached, Reply, caching, scope_of
from roadworthy.edge.stored import StoredResponse
from roadworthy.http.cache_key import url_key

FRESH = Reply(headers=caching("max-age=60"))


async def test_a_fresh_response_is_used_again_with_its_age() -> None:
    cached = Cached(Reply(headers=caching("max-age=60", x_a="1")))
    first = await cached.ask()
    assert first["cache-status"] == "roadworthy; fwd=uri-miss; fwd-status=200; stored"
    cached.clock.now += 7
    again = await cached.ask()
    assert (again.status, again.body, again["age"], again["x-a"]) == (200, b"content", "7", "1")
    assert again["cache-status"] == "roadworthy; hit; ttl=53"
    assert (again["content-length"], again["date"]) == ("7", "Sun, 15 Jun 2025 15:06:40 GMT")
    assert len(cached.asked) == 1
    cached.clock.now += 53
    assert (await cached.ask())["age"] is None
    assert len(cached.asked) == 2


async def test_age_goes_on_from_what_came() -> None:
    cached = Cached(Reply(headers=caching("max-age=60", age="30")))
    await cached.ask()
    cached.clock.now += 5
    answer = await cached.ask()
    assert answer.all("age") == ["35"]
    assert answer["cache-status"] == "roadworthy; hit; ttl=25"


async def test_headers_of_a_hit_are_its_own() -> None:
    cached = Cached(FRESH)
    await cached.ask()
    lists: list[Any] = []

    async def send(message: Any) -> None:
        lists.append(message.get("headers"))

    for _ in range(2):
        await cached.cache(scope_of("GET", "/page"), None, send)  # type: ignore[arg-type]
    lists[0].append((b"x-mine", b"1"))
    assert (b"x-mine", b"1") not in lists[2]


async def test_repeated_headers_stay_apart_and_those_of_a_connection_are_not_kept() -> None:
    headers = [
        *caching("max-age=60", connection="X-Hop, keep-alive", x_hop="1", keep_alive="timeout=5"),
        ("link", "a"),
        ("link", "b"),
        ("proxy-authenticate", "Basic"),
    ]
    cached = Cached(Reply(headers=headers))
    await cached.ask()
    answer = await cached.ask()
    assert answer.all("link") == ["a", "b"]
    assert [answer[name] for name in ("connection", "x-hop", "keep-alive", "proxy-authenticate")] == [None] * 4


@pytest.mark.parametrize("url", ["/page?q=1", "/other", "/page?"])
async def test_each_url_is_kept_for_itself(url: str) -> None:
    cached = Cached(lambda asked: Reply(headers=caching("max-age=60"), body=asked.path.encode()))
    await cached.ask("/page?q=2")
    await cached.ask(url)
    assert len(cached.asked) == 2


async def test_a_head_is_answered_from_a_get() -> None:
    cached = Cached(FRESH)
    await cached.ask()
    answer = await cached.ask(method="HEAD")
    assert (answer.status, answer.body, answer["content-length"], answer["age"]) == (200, b"", "7", "0")
    assert len(cached.asked) == 1


async def test_a_head_is_never_kept() -> None:
    cached = Cached(FRESH)
    await cached.ask(method="HEAD")
    await cached.ask(method="HEAD")
    await cached.ask()
    assert [asked.method for asked in cached.asked] == ["HEAD", "HEAD", "GET"]


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        (Reply(headers=caching("no-store")), "no-store"),
        (Reply(headers=caching("private, max-age=60")), "private"),
        (Reply(headers=caching("max-age=60", set_cookie="a=b")), "set-cookie"),
        (Reply(headers=caching("max-age=60", vary="*")), "vary"),
        (Reply(headers=caching("max-age=60", content_type="text/event-stream")), "event-stream"),
        (Reply(headers=caching("max-age=60", content_length="99999999")), "too-large"),
        (Reply(), "no-lifetime"),
    ],
)
async def test_what_may_not_be_kept_passes(reply: Reply, detail: str) -> None:
    cached = Cached(reply)
    for _ in range(2):
        answer = await cached.ask()
        assert answer.body == b"content"
        assert answer["cache-status"] == f"roadworthy; fwd=uri-miss; fwd-status=200; detail={detail}"
    assert len(cached.asked) == 2


async def test_fields_that_are_private_are_not_kept() -> None:
    cached = Cached(Reply(headers=caching('max-age=60, private="set-cookie"', set_cookie="a=b", x_a="1")))
    assert (await cached.ask())["set-cookie"] == "a=b"
    answer = await cached.ask()
    assert (answer["set-cookie"], answer["x-a"]) == (None, "1")


async def test_cookies_are_shared_if_told() -> None:
    cached = Cached(Reply(headers=caching("max-age=60", set_cookie="a=b")), {"share_cookies": True})
    await cached.ask()
    assert (await cached.ask())["set-cookie"] == "a=b"
    assert len(cached.asked) == 1


async def test_a_targeted_field_is_heeded_by_the_caches_that_it_names() -> None:
    reply = Reply(headers=caching("no-store", cdn_cache_control="max-age=60", ours_cache_control="max-age=0"))
    cached = Cached(reply)
    await cached.ask()
    assert (await cached.ask())["cdn-cache-control"] == "max-age=60"
    assert len(cached.asked) == 1
    other = Cached(reply, {"targeted": ("Ours-Cache-Control", "CDN-Cache-Control")})
    await other.ask()
    await other.ask()
    assert len(other.asked) == 2
    plain = Cached(reply, {"targeted": ()})
    await plain.ask()
    await plain.ask()
    assert len(plain.asked) == 2


async def test_variants_are_kept_side_by_side() -> None:
    def reply(asked: Asked) -> Reply:
        language = asked.headers.get("accept-language", "none")
        return Reply(headers=caching("max-age=60", vary="Accept-Language"), body=language.encode())

    cached = Cached(reply)
    for _ in range(2):
        for language in ("de", "en"):
            assert (await cached.ask(headers={"accept-language": language})).body == language.encode()
        assert (await cached.ask()).body == b"none"
    assert len(cached.asked) == 3
    assert (await cached.ask(headers={"accept-language": "fr"}))["cache-status"] == (
        "roadworthy; fwd=vary-miss; fwd-status=200; stored"
    )


async def test_what_varies_by_more_later_is_kept_apart_by_both() -> None:
    varies = iter(["a", "b", ""])

    def reply(asked: Asked) -> Reply:
        headers = caching("max-age=60")
        if name := next(varies, ""):
            headers.append(("vary", name))
        return Reply(headers=headers, body=repr(sorted(asked.headers.items())).encode())

    cached = Cached(reply)
    await cached.ask(headers={"a": "1", "b": "1"})
    await cached.ask(headers={"a": "2", "b": "1"})
    await cached.ask(headers={"a": "2", "b": "2"})
    for a, b in (("2", "1"), ("2", "2")):
        answer = await cached.ask(headers={"a": a, "b": b})
        assert f"('a', '{a}'), ('b', '{b}')" in answer.body.decode()
        assert answer["cache-status"] == "roadworthy; hit; ttl=60"


@pytest.mark.parametrize(
    ("control", "asked"),
    [("no-cache", 2), ("no-store", 2), ("max-age=3", 2), ("max-age=30", 1), ("min-fresh=100", 2), ("foo", 1)],
)
async def test_a_request_may_want_less(control: str, asked: int) -> None:
    cached = Cached(FRESH)
    await cached.ask()
    cached.clock.now += 5
    await cached.ask(headers={"cache-control": control})
    assert len(cached.asked) == asked


async def test_pragma_asks_the_application() -> None:
    cached = Cached(FRESH)
    await cached.ask()
    await cached.ask(headers={"pragma": "no-cache"})
    assert len(cached.asked) == 2


async def test_only_if_cached() -> None:
    cached = Cached(FRESH)
    answer = await cached.ask(headers={"cache-control": "only-if-cached"})
    assert (answer.status, answer["cache-status"]) == (504, "roadworthy; detail=only-if-cached")
    assert not cached.asked
    await cached.ask()
    assert (await cached.ask(headers={"cache-control": "only-if-cached"})).status == 200
    assert (await cached.ask("/other", {"cache-control": "only-if-cached"}, "HEAD")).body == b""


@pytest.mark.parametrize(("method", "status", "asked"), [("POST", 200, 3), ("POST", 500, 2), ("FOO", 204, 3)])
async def test_a_change_makes_its_url_invalid(method: str, status: int, asked: int) -> None:
    cached = Cached(lambda asked: FRESH if asked.method == "GET" else Reply(status, caching("max-age=60")))
    await cached.ask()
    answer = await cached.ask(headers={"content-length": "3", "x-http-method-override": "PUT"}, method=method)
    assert answer["cache-status"] == "roadworthy; fwd=method"
    await cached.ask()
    assert len(cached.asked) == asked


async def test_a_change_makes_variants_and_what_it_names_invalid() -> None:
    def reply(asked: Asked) -> Reply:
        if asked.method == "POST":
            return Reply(201, {"Location": "/new?x=1", "content-location": "http://example.org/list"})
        return Reply(headers=caching("max-age=60", vary="a"))

    cached = Cached(reply)
    urls = ["/page", "/new?x=1", "/list", "/untouched"]
    for url in urls:
        await cached.ask(url, {"a": "1"})
    await cached.ask(method="POST")
    before = len(cached.asked)
    for url in urls:
        await cached.ask(url, {"a": "1"})
    assert [asked.path for asked in cached.asked[before:]] == ["/page", "/new", "/list"]


async def test_options_pass_and_change_nothing() -> None:
    cached = Cached(FRESH)
    await cached.ask()
    await cached.ask(method="OPTIONS")
    await cached.ask()
    assert [asked.method for asked in cached.asked] == ["GET", "OPTIONS"]


async def test_parts_of_a_stored_response() -> None:
    cached = Cached(Reply(headers=caching("max-age=60", etag='"e"'), body=b"0123456789"))
    await cached.ask()
    answer = await cached.ask(headers={"range": "bytes=2-4"})
    assert (answer.status, answer.body) == (206, b"234")
    assert (answer["content-range"], answer.all("content-length")) == ("bytes 2-4/10", ["3"])
    assert (await cached.ask(headers={"range": "bytes=2-4", "if-range": '"e"'})).status == 206
    assert (await cached.ask(headers={"range": "bytes=2-4", "if-range": '"other"'})).status == 200
    assert (await cached.ask(headers={"range": "bytes=0-1,4-5"})).status == 200
    assert (await cached.ask(headers={"range": "bytes=2-4"}, method="HEAD")).status == 200
    answer = await cached.ask(headers={"range": "bytes=10-"})
    assert (answer.status, answer["content-range"], answer.body) == (416, "bytes */10", b"")
    assert len(cached.asked) == 1


async def test_a_part_is_passed_on_and_not_taken_for_the_whole() -> None:
    part = Reply(206, caching("max-age=60", content_range="bytes 0-1/10"), b"01")
    cached = Cached([part, Reply(headers=caching("max-age=60"), body=b"0123456789")])
    assert (await cached.ask(headers={"range": "bytes=0-1"})).status == 206
    assert (await cached.ask()).body == b"0123456789"


@pytest.mark.parametrize("tag_header", [("cache-tag", "a, b"), ("surrogate-key", "a b")])
async def test_tags_take_responses_with_them(tag_header: tuple[str, str]) -> None:
    cached = Cached(Reply(headers=[*caching("max-age=60"), tag_header]))
    await cached.ask()
    storage = cached.cache._storage
    await storage.invalidate(["c"])
    await cached.ask()
    assert len(cached.asked) == 1
    await storage.invalidate(["b"])
    await cached.ask()
    assert len(cached.asked) == 2


def test_a_key_is_that_of_one_url_alone() -> None:
    def key(url: str, headers: Any = (), **changes: Any) -> str | None:
        scope = {**scope_of("GET", url), **changes}
        fields = {b"host": b"example.org", **{name.encode(): value.encode() for name, value in dict(headers).items()}}
        return url_key(scope, fields)

    keys = [
        key("/a"),
        key("/a?b"),
        key("/a", path="/a?b"),
        key("/a?/b"),
        key("/a", scheme="https"),
        key("/a", {"host": "example.com"}),
        key("/a", {"x-forwarded-host": "evil.example"}),
        key("/a", {"x-forwarded-proto": "https"}),
        key("/a", {"x-forwarded-host": "a b"}),
        key("/a", {"x-forwarded-host": "a%20b"}),
        key("/x", path="/a/b", raw_path=b"/a%2Fb"),
        key("/a/b"),
    ]
    assert len(set(keys)) == len(keys)
    assert key("/a", {"host": "EXAMPLE.org"}) == keys[0]
    assert key("/a", {"x-original-url": "/admin"}) is None
    assert key("/a", {"x-http-method-override": "DELETE"}) is None
    assert key("/a", {"content-length": "3"}) is None
    assert key("/a", {"host": "a b"}) is None
    assert key("/a", {"transfer-encoding": "chunked"}) is None
    assert key("/a", {"content-length": "0"}) == keys[0]


async def test_a_request_without_a_key_is_passed_on_and_not_kept() -> None:
    cached = Cached(FRESH)
    for _ in range(2):
        answer = await cached.ask(headers={"x-http-method-override": "PUT"})
        assert answer["cache-status"] == "roadworthy; fwd=bypass"
    assert len(cached.asked) == 2


async def test_other_protocols_pass() -> None:
    kinds = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kinds.append(scope["type"])

    cached = Cached()
    cached.cache._app = app
    for kind in ("websocket", "lifespan"):
        await cached.cache({"type": kind}, None, None)  # type: ignore[arg-type]
    assert kinds == ["websocket", "lifespan"]


def test_a_stored_response_survives_its_wire_format() -> None:
    response = StoredResponse(
        status=200, headers=((b"set-cookie", b"a"), (b"set-cookie", b"b")), body=b"\xff", etag=b'"e"', tags=("t",)
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(response), type=StoredResponse) == response
