"""Whoever asks gets a body that was made for them, or one whose maker said that it is for all."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cached_origin import Asked, Cached, Reply, caching

_IDENTIFYING = ("authorization", "cookie", "x-user", "accept-language")
_VALUES = st.sampled_from(["", "alice", "bob", "alice, bob", "Alice"])
_REQUESTS = st.fixed_dictionaries(
    {
        "headers": st.fixed_dictionaries({}, optional=dict.fromkeys(_IDENTIFYING, _VALUES)),
        "extra": st.sampled_from(
            [{}, {"if-none-match": "*"}, {"cache-control": "max-stale"}, {"range": "bytes=0-"}, {"pragma": "no-cache"}]
        ),
        "method": st.sampled_from(["GET", "GET", "GET", "HEAD", "POST"]),
        "later": st.sampled_from([0, 0, 1, 5, 100]),
    }
)
_LIFETIMES = st.sampled_from(
    ["max-age=3", "max-age=60", "no-cache", "", "max-age=1, stale-while-revalidate=60", "max-age=1, stale-if-error=60"]
)
_CREDENTIALS = ("authorization", "cookie")


def _seen(headers: dict[str, str], names: tuple[str, ...]) -> str:
    """Return what a body is made from; languages are the same in either case."""
    found = {name: headers.get(name) for name in names}
    if language := found.get("accept-language"):
        found["accept-language"] = language.lower()
    return repr(found)


class _Application:
    """Makes each body from who asks, and says by Vary what that depends on beyond credentials."""

    def __init__(self, control: str, vary: tuple[str, ...], *, failing: bool, setting: bool) -> None:
        self.control = control
        self.vary = vary
        self.failing = failing
        self.setting = setting
        self.count = 0

    def depends_on(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*_CREDENTIALS, *self.vary)))

    def __call__(self, asked: Asked) -> Reply:
        self.count += 1
        if self.failing and self.count % 3 == 0:
            return Reply(503, body=b"down")
        body = _seen(asked.headers, self.depends_on())
        headers = caching(self.control, etag=f'"{abs(hash(body))}"') if self.control else caching("max-age=9")
        if self.vary:
            headers.append(("vary", ", ".join(self.vary)))
        if self.setting and asked.headers.get("cookie"):
            headers.append(("set-cookie", f"session={asked.headers['cookie']}"))
        if asked.headers.get("if-none-match") == f'"{abs(hash(body))}"':
            return Reply(304, headers, b"")
        return Reply(headers=headers, body=body.encode())


@settings(max_examples=150, deadline=None)
@given(
    control=_LIFETIMES,
    vary=st.lists(st.sampled_from(_IDENTIFYING), unique=True).map(tuple),
    failing=st.booleans(),
    setting=st.booleans(),
    requests=st.lists(_REQUESTS, min_size=2, max_size=12),
    at_once=st.booleans(),
)
def test_nobody_sees_what_was_made_for_another(
    control: str,
    vary: tuple[str, ...],
    failing: bool,
    setting: bool,
    requests: list[dict[str, Any]],
    at_once: bool,
) -> None:
    application = _Application(control, vary, failing=failing, setting=setting)

    async def scenario() -> None:
        cached = Cached(application)

        async def one(request: dict[str, Any]) -> None:
            answer = await cached.ask("/page", request["headers"] | request["extra"], request["method"])
            if answer.status not in {200, 206} or request["method"] != "GET":
                return
            own = _seen(request["headers"], application.depends_on())
            # What was made for somebody without credentials is anybody's, where Vary does not say otherwise.
            nobodys = {name: value for name, value in request["headers"].items() if name not in _CREDENTIALS}
            keeping = {name: request["headers"][name] for name in vary if name in request["headers"]}
            assert answer.body.decode() in {own, _seen(nobodys | keeping, application.depends_on())}
            if answer["age"] is not None:
                assert answer["set-cookie"] is None

        if at_once:
            async with asyncio.TaskGroup() as group:
                for request in requests:
                    group.create_task(one(request))
        else:
            for request in requests:
                cached.clock.now += request["later"]
                await one(request)
                await cached.settle()
        await cached.cache.close()

    asyncio.run(scenario())


async def test_an_authorised_request_gets_only_what_is_marked_for_all() -> None:
    bodies = {None: b"anonymous", "a": b"for a", "b": b"for b"}
    cached = Cached(lambda asked: Reply(headers=caching("max-age=60"), body=bodies[asked.headers.get("authorization")]))
    assert (await cached.ask()).body == b"anonymous"
    for user in ("a", "b", "a"):
        answer = await cached.ask(headers={"authorization": user})
        assert answer.body == bodies[user]
        assert "fwd=bypass" in (answer["cache-status"] or "")
    assert (await cached.ask()).body == b"anonymous"
    assert len(cached.asked) == 4


async def test_what_is_public_is_everyones_if_the_application_says_so() -> None:
    cached = Cached(Reply(headers=caching("public, max-age=60")))
    await cached.ask(headers={"authorization": "a", "cookie": "a=1"})
    await cached.ask(headers={"authorization": "b", "cookie": "a=2"})
    await cached.ask()
    assert len(cached.asked) == 1


async def test_a_page_that_varies_by_cookie_is_kept_for_each_cookie() -> None:
    cached = Cached(
        lambda asked: Reply(
            headers=caching("max-age=60", vary="Cookie"), body=asked.headers.get("cookie", "-").encode()
        )
    )
    for _ in range(2):
        for cookie in ("session=a", "session=b"):
            assert (await cached.ask(headers={"cookie": cookie})).body == cookie.encode()
        assert (await cached.ask()).body == b"-"
    assert len(cached.asked) == 3
