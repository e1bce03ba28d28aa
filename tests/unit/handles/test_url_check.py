from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from roadworthy import DeclarationError, seconds, url_check
from roadworthy.edge.client import NoResponse, Response


class Asked:
    """A client that answers with a status after some time by the clock."""

    def __init__(self, status: int, took: float = 0.1) -> None:
        self.status = status
        self.took = took
        self.now = 0.0
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []

    def clock(self) -> float:
        return self.now

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        self.requests.append((method, url, headers))
        self.now += self.took
        return Response(self.status, {}, b"")


@pytest.mark.parametrize(
    ("answer", "took", "options", "status"),
    [
        (200, 0.1, {}, "pass"),
        (301, 0.1, {}, "pass"),
        (503, 0.1, {}, "fail"),
        (404, 0.1, {}, "fail"),
        (404, 0.1, {"expect": (404,)}, "pass"),
        (200, 0.1, {"expect": (404,)}, "fail"),
        (200, 0.3, {"slow": seconds(0.2)}, "warn"),
        (200, 0.1, {"slow": seconds(0.2)}, "pass"),
    ],
)
async def test_what_an_answer_means(answer: int, took: float, options: dict[str, Any], status: str) -> None:
    client = Asked(answer, took)
    (reading,) = await url_check("https://pay.example:8443/livez?a=1", client=client, clock=client.clock, **options)()
    assert (reading.name, reading.status, reading.unit) == ("pay.example:8443:responseTime", status, "ms")
    assert reading.value == took * 1000
    assert bool(reading.output) == (status != "pass")


async def test_what_is_asked() -> None:
    client = Asked(200)
    await url_check("http://pay.example/", method="HEAD", headers={"Authorization": "Bearer x"}, client=client)()
    ((method, url, headers),) = client.requests
    assert (method, url, headers["Authorization"]) == ("HEAD", "http://pay.example/", "Bearer x")


async def test_a_real_server() -> None:
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    check = url_check(f"http://127.0.0.1:{port}/livez")
    async with server:
        (reading,) = await check()
        assert reading.status == "pass"
        async with asyncio.timeout(60):
            await served.wait()
    with pytest.raises(NoResponse):
        await check()


@pytest.mark.parametrize(
    ("url", "refusal"),
    [
        ("pay.example/livez", "needs a whole URL"),
        ("ftp://pay.example/", "needs a whole URL"),
        ("https:///livez", "needs a whole URL"),
        ("https://user:hunter2@pay.example/", "pay.example has a user or password"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused(url: str, refusal: str) -> None:
    with pytest.raises(DeclarationError, match=refusal) as refused:
        url_check(url)
    assert "hunter2" not in str(refused.value)
