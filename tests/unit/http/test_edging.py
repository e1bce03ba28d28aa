"""What the stack says of each response to browsers and CDNs."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse, StreamingResponse
from starlette.staticfiles import StaticFiles

from roadworthy import Service, days, edge_tags, hours, immutable, minutes, private, secret, shared
from roadworthy.edge.etag import LARGEST

PAGE = shared(edge=minutes(10), stale=minutes(1), stale_if_error=days(1))
PUBLIC = "public, max-age=0, must-revalidate"
TARGETED = "max-age=600, stale-while-revalidate=60, stale-if-error=86400"


def application(tmp_path: Any = None) -> FastAPI:
    app = FastAPI()
    add_pages(app)
    add_others(app)
    if tmp_path is not None:
        (tmp_path / "app.1a2b.css").write_text("body{}")
        app.mount("/static", StaticFiles(directory=tmp_path))
    return app


def add_pages(app: FastAPI) -> None:
    @app.api_route("/page/{id}", methods=["GET", "HEAD"])
    async def page(id: str, response: Response, status: int = 200, cookie: bool = False) -> dict[str, str]:
        response.status_code = status
        if cookie:
            response.set_cookie("session", "1")
        return {"id": id}

    @app.get("/page/mine")
    async def never_reached() -> None: ...

    @app.get("/pages/mine")
    async def mine() -> dict[str, str]:
        return {"mine": "yes"}

    @app.get("/pages/{id}")
    async def numbered(id: str) -> dict[str, str]:
        return {"id": id}

    @app.get("/me")
    async def me() -> dict[str, str]:
        return {"name": "Ada"}

    @app.post("/login")
    async def login() -> dict[str, str]:
        return {}


def add_others(app: FastAPI) -> None:
    @app.get("/own")
    async def own(request: Request, response: Response) -> dict[str, str]:
        for name, value in request.query_params.items():
            response.headers[name] = value
        return {}

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        return StreamingResponse(body())

    @app.get("/large")
    async def large() -> Response:
        return Response(b"x" * (LARGEST + 1))

    @app.get("/tagged")
    def tagged(count: int = 1) -> dict[str, str]:
        edge_tags(*(f"Page:{number}" for number in range(count)))
        return {}

    @app.get("/away")
    async def away() -> RedirectResponse:
        return RedirectResponse("/me")

    @app.get("/image")
    async def image() -> Response:
        return Response(b"png", media_type="image/png")

    @app.get("/language")
    async def language(request: Request, response: Response) -> dict[str, str | None]:
        response.headers["Vary"] = "Origin"
        return {"language": request.headers.get("accept-language")}


@pytest.fixture
def service() -> Service:
    service = Service("tested")
    service.edge("GET /page/{id}", PAGE, tags=("page:{id}",))
    service.edge("GET /pages/{id}", PAGE)
    service.edge("GET /me", private())
    service.edge("POST /login", secret())
    service.edge("GET /own", PAGE)
    service.edge("GET /boom", PAGE)
    service.edge("GET /stream", PAGE)
    service.edge("GET /large", PAGE)
    service.edge("GET /tagged", PAGE, tags=("all",))
    service.edge("GET /away", PAGE)
    service.edge("GET /static/{path}", immutable())
    service.edge("GET /language", shared(edge=hours(1), vary={"Accept-Language": ("de", "en")}))
    return service


def cached(response: httpx.Response) -> tuple[str | None, str | None]:
    return response.headers.get("cache-control"), response.headers.get("cdn-cache-control")


async def test_a_shared_page(serve: Any, service: Service) -> None:
    async with serve(application(), service) as running:
        response = await running.client.get("/page/7")
    assert cached(response) == (PUBLIC, TARGETED)
    assert response.json() == {"id": "7"}
    assert "cache-tag" not in response.headers


async def test_a_private_page_and_a_secret(serve: Any, service: Service) -> None:
    async with serve(application(), service) as running:
        mine = await running.client.get("/me")
        login = await running.client.post("/login")
    assert cached(mine) == ("private, no-cache", None)
    assert mine.headers["etag"]
    assert cached(login) == ("no-store", None)
    assert "etag" not in login.headers


async def test_what_is_private_anyway_has_its_own_lifetime_whoever_asks(serve: Any) -> None:
    service = Service("tested")
    service.edge("GET /me", private(browser=minutes(1)))
    service.edge("GET /own", secret())
    async with serve(application(), service) as running:
        mine = await running.client.get("/me", headers={"authorization": "x"})
        own = await running.client.get("/own?set-cookie=a")
    assert cached(mine) == ("private, max-age=60", None)
    assert cached(own) == ("no-store", None)


async def test_a_file_below_a_mount(serve: Any, service: Service, tmp_path: Any) -> None:
    async with serve(application(tmp_path), service) as running:
        found = await running.client.get("/static/app.1a2b.css")
        missing = await running.client.get("/static/app.css")
        again = await running.client.get("/static/app.1a2b.css", headers={"if-none-match": found.headers["etag"]})
    assert cached(found) == ("public, max-age=31536000, immutable", None)
    assert cached(missing) == ("public, max-age=10", "max-age=10")
    assert (again.status_code, cached(again)) == (304, cached(found))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/page/7?status=404", ("public, max-age=60", "max-age=60")),
        ("/page/7?status=500", ("no-store", None)),
        ("/page/7?status=401", ("no-store", None)),
        ("/boom", ("no-store", None)),
        ("/away", ("no-store", None)),
        ("/nothing", (None, None)),
        ("/page/7?cookie=1", ("private, no-cache", None)),
    ],
)
async def test_what_is_no_success_is_not_kept_like_one(
    serve: Any, service: Service, path: str, expected: tuple[str | None, str | None]
) -> None:
    async with serve(application(), service) as running:
        assert cached(await running.client.get(path)) == expected


async def test_an_answer_to_authorization_is_never_shared_unless_declared(serve: Any) -> None:
    service = Service("tested")
    service.edge("GET /page/{id}", PAGE)
    service.edge("GET /own", shared(edge=minutes(1), authorization="ignored", cookies="ignored"))
    authorised = {"authorization": "Bearer x"}
    async with serve(application(), service) as running:
        get = running.client.get
        assert cached(await get("/page/7", headers=authorised)) == ("private, no-cache", None)
        assert cached(await get("/me", headers=authorised)) == ("no-store", None)
        own = await get("/own?set-cookie=a", headers=authorised)
        assert cached(own) == (PUBLIC, "public, max-age=60")
        assert "set-cookie" not in own.headers
        assert cached(await get("/nothing", headers=authorised)) == ("no-store", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cache-control=no-cache", ("no-cache", None)),
        ("cdn-cache-control=max-age=5", (PUBLIC, "max-age=5")),
        ("cache-control=public, max-age=9&set-cookie=a", ("private, max-age=9", None)),
        ("cdn-cache-control=max-age=5&set-cookie=a", ("private, no-cache", None)),
        ("cache-control=no-store&set-cookie=a", ("no-store", None)),
    ],
)
async def test_what_the_application_sets_wins_but_for_personal_answers(
    serve: Any, service: Service, query: str, expected: tuple[str | None, str | None]
) -> None:
    async with serve(application(), service) as running:
        assert cached(await running.client.get(f"/own?{query}")) == expected


async def test_without_any_declaration_only_what_is_personal_is_told(serve: Any) -> None:
    async with serve(application()) as running:
        get = running.client.get
        assert cached(await get("/page/7")) == (None, None)
        assert "etag" not in (await get("/page/7")).headers
        assert cached(await get("/page/7?cookie=1")) == ("no-store", None)
        assert cached(await get("/own?set-cookie=a&cache-control=public")) == ("private", None)
        assert cached(await get("/page/7", headers={"authorization": "x"})) == ("no-store", None)
        assert cached(await get("/boom")) == ("no-store", None)


async def test_a_route_without_a_policy_is_not_taken_for_another(serve: Any, service: Service) -> None:
    """Its path fits the template of a route that comes later, and what it says is somebody's own."""
    async with serve(application(), service) as running:
        assert cached(await running.client.get("/pages/mine")) == (None, None)
        assert cached(await running.client.get("/pages/7")) == (PUBLIC, TARGETED)


async def test_policies_by_kind_and_for_all_others(serve: Any, service: Service) -> None:
    service.edge("image/*", shared(edge=hours(1)))
    service.edge("*", private())
    async with serve(application(), service) as running:
        assert cached(await running.client.get("/image")) == (PUBLIC, "max-age=3600")
        assert cached(await running.client.get("/pages/mine")) == ("private, no-cache", None)
        assert cached(await running.client.get("/page/7")) == (PUBLIC, TARGETED)


async def test_who_has_it_gets_304_with_all_that_it_must_carry(serve: Any, service: Service) -> None:
    async with serve(application(), service) as running:
        get = running.client.get
        first = await get("/page/7")
        etag = first.headers["etag"]
        assert not etag.startswith("W/")
        assert (await get("/page/7")).headers["etag"] == etag
        assert (await get("/page/8")).headers["etag"] != etag
        for condition in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            again = await get("/page/7", headers={"if-none-match": condition})
            assert (again.status_code, again.content) == (304, b"")
            assert (again.headers["etag"], cached(again)) == (etag, cached(first))
            assert not {"content-type", "content-length"} & set(again.headers)
        assert (await get("/page/7", headers={"if-none-match": '"x"'})).status_code == 200
        assert (await get("/page/7", headers={"if-match": '"x"'})).status_code == 412
        assert (await get("/page/7?status=404", headers={"if-none-match": "*"})).status_code == 404
        assert (await get("/page/mine?status=500", headers={"if-none-match": "*"})).status_code == 500
        assert (await get("/pages/mine", headers={"if-none-match": "*"})).status_code == 200


async def test_a_head_is_answered_like_its_get(serve: Any, service: Service) -> None:
    async with serve(application(), service) as running:
        got, head = await running.client.get("/page/7"), await running.client.head("/page/7")
        again = await running.client.head("/page/7", headers={"if-none-match": got.headers["etag"]})
    assert (head.headers["etag"], cached(head)) == (got.headers["etag"], cached(got))
    assert again.status_code == 304


async def test_a_validator_of_the_applications_own_is_used(serve: Any, service: Service) -> None:
    async with serve(application(), service) as running:
        own = await running.client.get('/own?etag="v1"')
        assert own.headers.get_list("etag") == ['"v1"']
        again = await running.client.get('/own?etag="v1"', headers={"if-none-match": '"v1"'})
        assert (again.status_code, again.headers["etag"]) == (304, '"v1"')
        date = "Tue, 01 Sep 2026 10:00:00 GMT"
        dated = await running.client.get(f"/own?last-modified={date}", headers={"if-modified-since": date})
        assert (dated.status_code, dated.headers["last-modified"]) == (304, date)


async def test_what_streams_or_is_large_is_left_alone(serve: Any, service: Service) -> None:
    async with serve(application(), service) as running:
        stream, large = await running.client.get("/stream"), await running.client.get("/large")
    assert stream.content == b"onetwo"
    assert len(large.content) == LARGEST + 1
    assert cached(stream) == cached(large) == (PUBLIC, TARGETED)
    assert "etag" not in stream.headers
    assert "etag" not in large.headers


async def test_each_encoding_has_an_entity_tag_of_its_own_at_any_time(
    serve: Any, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = application()
    app.add_middleware(GZipMiddleware, minimum_size=1)
    times = itertools.count(1_000_000_000, 100)
    monkeypatch.setattr(gzip.time, "time", lambda: next(times))  # type: ignore[attr-defined]
    async with serve(app, service) as running:
        plain = await running.client.get("/page/7", headers={"accept-encoding": "identity"})
        zipped = await running.client.get("/page/7", headers={"accept-encoding": "gzip"})
        later = await running.client.get("/page/7", headers={"accept-encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.json() == plain.json()
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert zipped.headers["etag"] == later.headers["etag"]
    assert zipped.headers["vary"].lower() == "accept-encoding"


async def test_vary_is_merged_and_the_handler_sees_what_counts(serve: Any, service: Service) -> None:
    async with serve(application(), service) as running:
        german = await running.client.get("/language", headers={"accept-language": "de-AT,fr;q=0.5"})
        french = await running.client.get("/language", headers={"accept-language": "fr"})
    assert german.headers["vary"] == "Origin, Accept-Language"
    assert german.json() == {"language": "de"}
    assert french.json() == {"language": None}


async def test_tags_are_for_the_cdn_that_is_declared(serve: Any, service: Service) -> None:
    service.behind("cloudflare")
    service.behind("fastly")
    async with serve(application(), service) as running:
        page = await running.client.get("/page/Ä 7")
        tagged = await running.client.get("/tagged?count=2")
        failed = await running.client.get("/page/7?status=500")
        mine = await running.client.get("/page/7?cookie=1")
    assert page.headers["cache-tag"] == page.headers["surrogate-key"] == "page:%c3%a4%207"
    assert tagged.headers["cache-tag"] == "all,page:0,page:1"
    assert tagged.headers["surrogate-key"] == "all page:0 page:1"
    assert page.headers["surrogate-control"] == TARGETED
    for response in (failed, mine):
        assert not {"cache-tag", "surrogate-key", "surrogate-control"} & set(response.headers)


async def test_tags_of_the_applications_own_are_joined_and_hidden_where_nobody_reads_them(serve: Any) -> None:
    service = Service("tested")
    service.edge("GET /own", PAGE, tags=("all",))
    async with serve(application(), service) as running:
        assert "cache-tag" not in (await running.client.get("/own?cache-tag=b")).headers
        assert "cache-tag" not in (await running.client.get("/nothing")).headers
    service.behind("varnish")
    async with serve(application(), service) as running:
        own = await running.client.get("/own?cache-tag=B,all&surrogate-key=c d")
        said = await running.client.get("/own?cache-control=max-age=5")
        secret_ = await running.client.get("/own?cache-tag=b&set-cookie=a")
    assert own.headers["cache-tag"] == "b,all,c,d"
    assert "surrogate-key" not in own.headers
    assert said.headers["cache-tag"] == "all"
    assert "cache-tag" not in secret_.headers


async def test_a_query_is_left_with_what_counts(serve: Any) -> None:
    service = Service("tested")
    service.edge("GET /own", shared(edge=hours(1), query=("x-b", "x-a")))
    async with serve(application(), service) as running:
        own = await running.client.get("/own?x-a=1&utm=2&x%2Db=3&x-a=4")
    assert [name for name in own.headers if name.startswith("x-") and len(name) == 3] == ["x-b", "x-a"]
    assert "utm" not in own.headers


async def test_tags_that_do_not_fit_keep_the_response_from_the_edge(serve: Any, service: Service) -> None:
    service.behind("cloudfront")
    async with serve(application(), service) as running:
        fitting = await running.client.get("/tagged?count=49")
        too_many = await running.client.get("/tagged?count=50")
        assert running.metrics.value("http_edge_tag_overflows_total", {"route": "/tagged"}) == 1
    assert fitting.headers["cache-tag"].count(",") == 49
    assert cached(too_many) == ("private, no-cache", "no-store")
    assert too_many.headers["x-edge-uncacheable"] == "tags"
    assert "cache-tag" not in too_many.headers


async def test_an_application_without_a_router_is_matched_by_its_paths(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    service = Service("tested")
    service.edge("GET /pages/{id}", PAGE)
    async with serve(app, service) as running:
        assert cached(await running.client.get("/pages/7")) == (PUBLIC, TARGETED)
        assert cached(await running.client.get("/other")) == (None, None)


async def test_an_error_after_a_start_that_waited_takes_its_place(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-half", b"1")]})
        raise RuntimeError

    service = Service("tested")
    service.edge("GET /", PAGE)
    async with serve(app, service) as running:
        response = await running.client.get("/")
    assert (response.status_code, cached(response)) == (500, ("no-store", None))
    assert "x-half" not in response.headers


async def test_a_response_without_a_body_message_still_begins(serve: Any) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    service = Service("tested")
    service.edge("GET /", PAGE)
    async with serve(app, service) as running:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        await running.stack(scope, None, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_a_path_below_a_root_is_matched_without_it(serve: Any, service: Service) -> None:
    async with serve(application(), service) as running:
        transport = httpx.ASGITransport(running.stack, root_path="/shop")
        async with httpx.AsyncClient(transport=transport, base_url="http://tested") as client:
            assert cached(await client.get("/shop/page/7")) == (PUBLIC, TARGETED)
