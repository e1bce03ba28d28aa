from __future__ import annotations

from typing import Any

import pytest

from cached_origin import Asked, Cached, Reply, caching

LAST = "Sun, 06 Nov 1994 08:49:37 GMT"


def validated(etag: str = '"e"', control: str = "max-age=10", **headers: str) -> Any:
    """Return an application that answers 304 to whoever has its entity tag."""

    def reply(asked: Asked) -> Reply:
        all_headers = caching(control, etag=etag, **headers)
        if asked.headers.get("if-none-match") == etag:
            return Reply(304, all_headers, b"")
        return Reply(headers=all_headers)

    return reply


async def test_a_stale_response_is_asked_after_and_fresh_again() -> None:
    cached = Cached(validated(x_a="1"))
    await cached.ask()
    cached.clock.now += 11
    answer = await cached.ask()
    assert cached.asked[1].headers["if-none-match"] == '"e"'
    assert (answer.status, answer.body, answer["age"]) == (200, b"content", "0")
    assert answer["cache-status"] == "roadworthy; fwd=stale; fwd-status=304; stored"
    cached.clock.now += 9
    assert (await cached.ask())["cache-status"] == "roadworthy; hit; ttl=1"
    assert len(cached.asked) == 2


async def test_a_304_updates_headers_but_those_of_the_content() -> None:
    first = Reply(headers=caching("max-age=1", etag='"e"', x_a="1", x_b="1", content_type="text/a"))
    second = Reply(304, caching("max-age=60", etag='"e"', x_a="2", content_type="text/b", content_length="0"), b"")
    cached = Cached([first, second])
    await cached.ask()
    cached.clock.now += 2
    for _ in range(2):
        answer = await cached.ask()
        assert (answer["x-a"], answer["x-b"], answer["content-type"]) == ("2", "1", "text/a")
        assert (answer.all("content-length"), answer["cache-control"]) == (["7"], "max-age=60")
    assert len(cached.asked) == 2


async def test_a_last_modified_asks_as_well() -> None:
    cached = Cached([Reply(headers=caching("max-age=1", last_modified=LAST)), Reply(304, caching("max-age=1"), b"")])
    await cached.ask()
    cached.clock.now += 2
    assert (await cached.ask()).body == b"content"
    assert cached.asked[1].headers["if-modified-since"] == LAST


async def test_another_response_takes_the_place_of_a_stale_one() -> None:
    cached = Cached([Reply(headers=caching("max-age=1", etag='"a"'), body=b"a"), Reply(headers=caching("max-age=60"))])
    await cached.ask()
    cached.clock.now += 2
    for _ in range(2):
        assert (await cached.ask()).body == b"content"
    assert len(cached.asked) == 2


async def test_no_cache_is_stored_and_asked_after_each_time() -> None:
    cached = Cached(validated(control="no-cache, max-age=60"))
    for _ in range(3):
        assert (await cached.ask()).body == b"content"
    assert [asked.headers.get("if-none-match") for asked in cached.asked] == [None, '"e"', '"e"']


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": '"e"'}, 304),
        ({"if-none-match": '"x", W/"e"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"x"'}, 200),
        ({"if-modified-since": LAST}, 304),
        ({"if-none-match": '"x"', "if-modified-since": LAST}, 200),
        ({"if-none-match": '"e"', "range": "bytes=0-1"}, 304),
    ],
)
async def test_clients_conditions_are_answered_from_the_store(headers: dict[str, str], status: int) -> None:
    reply = Reply(headers=caching("max-age=60", etag='"e"', last_modified=LAST, vary="a", content_type="text/plain"))
    cached = Cached(reply)
    await cached.ask()
    answer = await cached.ask(headers=headers)
    assert answer.status == status
    assert len(cached.asked) == 1
    if status == 304:
        assert (answer.body, answer["etag"], answer["vary"]) == (b"", '"e"', "a")
        assert (answer["cache-control"], answer["date"] is not None) == ("max-age=60", True)
        assert (answer["content-length"], answer["content-type"]) == (None, None)


async def test_clients_conditions_are_passed_on_where_nothing_is_stored() -> None:
    cached = Cached(validated())
    answer = await cached.ask(headers={"if-none-match": '"e"'})
    assert (answer.status, cached.asked[0].headers["if-none-match"]) == (304, '"e"')
    assert (await cached.ask()).status == 200
    assert len(cached.asked) == 2


async def test_clients_conditions_do_not_mix_with_ours() -> None:
    replies = [Reply(headers=caching("max-age=1", etag='"a"')), Reply(headers=caching("max-age=60", etag='"b"'))]
    cached = Cached(replies)
    await cached.ask()
    cached.clock.now += 2
    answer = await cached.ask(headers={"if-none-match": '"b"'})
    assert cached.asked[1].headers["if-none-match"] == '"a"'
    assert (answer.status, answer.body, answer["etag"]) == (304, b"", '"b"')
    assert (await cached.ask()).body == b"content"
    assert len(cached.asked) == 2


async def test_a_request_asks_for_validation() -> None:
    cached = Cached(validated(control="max-age=60"))
    await cached.ask()
    answer = await cached.ask(headers={"cache-control": "no-cache"})
    assert answer["cache-status"] == "roadworthy; fwd=request; fwd-status=304; stored"


async def test_a_stale_response_is_used_while_one_request_fetches_it_anew() -> None:
    bodies = iter(b"abc")
    cached = Cached(
        lambda _: Reply(headers=caching("max-age=10, stale-while-revalidate=30"), body=bytes([next(bodies)]))
    )
    await cached.ask()
    cached.clock.now += 15
    for _ in range(3):
        answer = await cached.ask(headers={"range": "bytes=0-0"})
        assert (answer.body, answer["cache-status"]) == (
            b"a",
            "roadworthy; hit; ttl=-5; detail=stale-while-revalidate",
        )
    await cached.settle()
    assert len(cached.asked) == 2
    assert "range" not in cached.asked[1].headers
    assert (await cached.ask()).body == b"b"
    cached.clock.now += 41
    assert (await cached.ask()).body == b"c"


async def test_a_refresh_that_fails_is_no_clients_matter_and_not_repeated_at_once() -> None:
    fine = Reply(headers=caching("max-age=10, stale-while-revalidate=300"))
    cached = Cached([fine, Reply(chunks=[], error=OSError("away"))])
    await cached.ask()
    cached.clock.now += 15
    for _ in range(3):
        assert (await cached.ask()).status == 200
        await cached.settle()
    assert len(cached.asked) == 2
    cached.clock.now += 2
    await cached.ask()
    await cached.settle()
    assert len(cached.asked) == 3


async def test_what_turned_private_is_not_used_stale_any_more() -> None:
    cached = Cached(
        [Reply(headers=caching("max-age=10, stale-while-revalidate=300")), Reply(headers=caching("private"))]
    )
    await cached.ask()
    cached.clock.now += 15
    await cached.ask()
    await cached.settle()
    answer = await cached.ask()
    assert answer["cache-status"] == "roadworthy; fwd=uri-miss; fwd-status=200; detail=private"


@pytest.mark.parametrize("control", ["must-revalidate", "proxy-revalidate", "s-maxage=10"])
async def test_nothing_is_used_stale_where_that_is_forbidden(control: str) -> None:
    fine = Reply(headers=caching(f"max-age=10, {control}, stale-while-revalidate=300, stale-if-error=300"))
    cached = Cached([fine, Reply(503, body=b"down")])
    await cached.ask()
    cached.clock.now += 11
    assert (await cached.ask()).body == b"down"
    assert (await cached.ask(headers={"cache-control": "max-stale"})).body == b"down"


@pytest.mark.parametrize("failure", [Reply(503, body=b"down"), Reply(chunks=[], error=OSError("away"))])
async def test_a_stale_response_stands_in_for_a_failure(failure: Reply) -> None:
    cached = Cached([Reply(headers=caching("max-age=10, stale-if-error=30")), failure])
    await cached.ask()
    cached.clock.now += 35
    answer = await cached.ask()
    assert (answer.status, answer.body, answer["age"]) == (200, b"content", "35")
    assert "detail=stale-if-error" in (answer["cache-status"] or "")
    cached.clock.now += 10
    if failure.error is None:
        assert (await cached.ask()).status == 503
    else:
        with pytest.raises(OSError, match="away"):
            await cached.ask()


async def test_a_short_grace_where_nobody_said() -> None:
    cached = Cached([Reply(headers=caching("max-age=10")), Reply(500)], {"grace": 5.0})
    await cached.ask()
    cached.clock.now += 14
    assert (await cached.ask()).status == 200
    cached.clock.now += 2
    assert (await cached.ask()).status == 500


async def test_a_request_may_take_what_is_stale() -> None:
    cached = Cached(Reply(headers=caching("max-age=10")))
    await cached.ask()
    cached.clock.now += 15
    answer = await cached.ask(headers={"cache-control": "max-stale=10"})
    assert answer["cache-status"] == "roadworthy; hit; ttl=-5; detail=max-stale"
    assert len(cached.asked) == 1


@pytest.mark.parametrize(("etag", "asked"), [('"e"', 2), ('"other"', 3)])
async def test_a_head_says_whether_a_stale_response_still_holds(etag: str, asked: int) -> None:
    def reply(request: Asked) -> Reply:
        if request.method == "HEAD":
            return Reply(headers=caching("max-age=60", etag=etag, x_a="2"), body=b"")
        return Reply(headers=caching("max-age=10", etag='"e"', x_a="1"))

    cached = Cached(reply)
    await cached.ask()
    cached.clock.now += 15
    await cached.ask(method="HEAD")
    answer = await cached.ask()
    assert answer["x-a"] == ("2" if asked == 2 else "1")
    assert len(cached.asked) == asked
