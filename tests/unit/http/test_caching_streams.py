from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cached_origin import Asked, Cached, Reply, caching, scope_of

FRESH = Reply(headers=caching("max-age=60"))


async def test_the_first_bytes_go_out_before_the_last_are_there() -> None:
    released = asyncio.Event()
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
        await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        await released.wait()
        await send({"type": "http.response.body", "body": b"last"})

    async def send(message: Any) -> None:
        sent.append(message)

    cached = Cached()
    cached.cache._app = app
    task = asyncio.create_task(cached.cache(scope_of("GET", "/page"), None, send))  # type: ignore[arg-type]
    await cached.settle()
    assert [message.get("body") for message in sent] == [None, b"first "]
    released.set()
    await task
    assert (await cached.ask()).body == b"first last"


@pytest.mark.parametrize(
    ("reply", "asked"),
    [
        (Reply(headers=caching("max-age=60"), chunks=[b"a" * 50, b"b" * 50]), 1),
        (Reply(headers=caching("max-age=60"), chunks=[b"a" * 50, b"b" * 51]), 2),
        (Reply(headers=caching("max-age=60", content_length="4"), body=b"four"), 1),
        (Reply(headers=caching("max-age=60", content_length="4"), body=b"fiver"), 2),
        (Reply(headers=caching("max-age=60", content_length="4"), body=b"two"), 2),
    ],
)
async def test_only_what_is_whole_and_fits_is_kept(reply: Reply, asked: int) -> None:
    cached = Cached(reply, {"largest": 100})
    bodies = {(await cached.ask()).body for _ in range(2)}
    assert len(bodies) == 1
    assert len(cached.asked) == asked


async def test_what_breaks_off_is_not_kept() -> None:
    cached = Cached([Reply(headers=caching("max-age=60"), chunks=[b"half"], error=OSError("gone")), FRESH])
    with pytest.raises(OSError, match="gone"):
        await cached.ask()
    assert (await cached.ask()).body == b"content"


async def test_what_a_client_breaks_off_is_not_kept() -> None:
    cached = Cached(Reply(headers=caching("max-age=60"), chunks=[b"half", b"whole"]))

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client is gone")

    with pytest.raises(OSError, match="client"):
        await cached.cache(scope_of("GET", "/page"), None, send)  # type: ignore[arg-type]
    assert (await cached.ask()).body == b"halfwhole"
    assert len(cached.asked) == 2


@pytest.mark.parametrize("kind", ["http.response.trailers", "http.response.pathsend"])
async def test_what_is_no_body_passes_and_is_not_kept(kind: str) -> None:
    sent: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"cache-control", b"max-age=60")]
        trailers = kind.endswith("trailers")
        await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": trailers})
        if trailers:
            await send({"type": "http.response.body", "body": b"x"})
        await send({"type": kind})

    async def send(message: Any) -> None:
        sent.append(message["type"])

    cached = Cached()
    cached.cache._app = app
    for _ in range(2):
        await cached.cache(scope_of("GET", "/page"), None, send)  # type: ignore[arg-type]
    assert sent.count(kind) == 2


async def together(cached: Cached, requests: list[dict[str, str]], url: str = "/page") -> list[Any]:
    """Send requests at once, and open the gate when all of them are under way."""
    cached.gate = asyncio.Event()
    tasks = [asyncio.create_task(cached.ask(url, headers)) for headers in requests]
    await cached.settle()
    cached.gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_requests_for_one_page_wait_for_one() -> None:
    cached = Cached(FRESH)
    answers = await together(cached, [{}] * 20)
    assert len(cached.asked) == 1
    assert {answer.body for answer in answers} == {b"content"}
    statuses = [answer["cache-status"] for answer in answers]
    assert statuses.count("roadworthy; fwd=uri-miss; collapsed") == 19


async def test_nobody_gets_what_turns_out_private() -> None:
    count = iter(range(100))
    cached = Cached(lambda _: Reply(headers=caching("private"), body=str(next(count)).encode()))
    answers = await together(cached, [{}] * 5)
    assert len({answer.body for answer in answers}) == 5
    # Known to be private, they do not wait for each other any more.
    cached.gate = asyncio.Event()
    tasks = [asyncio.create_task(cached.ask()) for _ in range(5)]
    await cached.settle()
    assert len(cached.asked) == 10
    cached.gate.set()
    await asyncio.gather(*tasks)


async def test_variants_do_not_wait_for_long() -> None:
    cached = Cached(
        lambda asked: Reply(headers=caching("max-age=60", vary="a"), body=asked.headers.get("a", "").encode())
    )
    answers = await together(cached, [{"a": str(index % 3)} for index in range(9)])
    assert [answer.body for answer in answers] == [str(index % 3).encode() for index in range(9)]
    assert len(cached.asked) == 3


async def test_whoever_goes_leaves_the_others_unharmed() -> None:
    cached = Cached(FRESH)
    cached.gate = asyncio.Event()
    tasks = [asyncio.create_task(cached.ask()) for _ in range(5)]
    await cached.settle()
    tasks[0].cancel()
    await cached.settle()
    cached.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [answer.body for answer in answers[1:] if not isinstance(answer, BaseException)] == [b"content"] * 4
    assert len(cached.asked) == 2


async def test_a_failure_is_not_everyones() -> None:
    replies = [Reply(chunks=[], error=OSError("away")), FRESH]
    cached = Cached(replies)
    answers = await together(cached, [{}] * 4)
    assert [isinstance(answer, OSError) for answer in answers] == [True, False, False, False]


async def test_patience_has_an_end() -> None:
    cached = Cached(FRESH, {"patience": 0.01})
    cached.gate = asyncio.Event()
    first = asyncio.create_task(cached.ask())
    await cached.settle()
    second = asyncio.create_task(cached.ask())
    async with asyncio.timeout(60):
        while len(cached.asked) < 2:
            await asyncio.sleep(0.005)
    cached.gate.set()
    assert {answer.body for answer in await asyncio.gather(first, second)} == {b"content"}


async def test_one_request_asks_after_a_stale_response() -> None:
    def reply(asked: Asked) -> Reply:
        status = 304 if "if-none-match" in asked.headers else 200
        return Reply(status, caching("max-age=10", etag='"e"'), b"" if status == 304 else b"content")

    cached = Cached(reply)
    await cached.ask()
    cached.clock.now += 15
    answers = await together(cached, [{}] * 5)
    assert {answer.body for answer in answers} == {b"content"}
    assert len(cached.asked) == 2


async def test_a_stale_response_stands_in_for_all_that_wait() -> None:
    cached = Cached([Reply(headers=caching("max-age=10, stale-if-error=60")), Reply(503)])
    await cached.ask()
    cached.clock.now += 15
    answers = await together(cached, [{}] * 5)
    assert {answer.status for answer in answers} == {200}
    assert len(cached.asked) == 2


async def test_what_was_asked_for_before_a_change_is_not_kept() -> None:
    cached = Cached(lambda asked: FRESH if asked.method == "GET" else Reply(204, body=b""))
    cached.gate = asyncio.Event()
    task = asyncio.create_task(cached.ask())
    await cached.settle()
    gate, cached.gate = cached.gate, None
    await cached.ask(method="POST")
    gate.set()
    await task
    await cached.ask()
    assert [asked.method for asked in cached.asked] == ["GET", "POST", "GET"]


async def test_what_is_fetched_in_the_background_ends_with_the_cache() -> None:
    cached = Cached(Reply(headers=caching("max-age=10, stale-while-revalidate=30")))
    await cached.ask()
    cached.clock.now += 15
    cached.gate = asyncio.Event()
    await cached.ask()
    await cached.settle()
    assert len(cached.asked) == 2
    await cached.cache.close()
    await cached.ask()
    assert len(cached.asked) == 2
