"""Synchronous HTTP handlers, which frameworks run in threads, on the asynchronous handles."""

from __future__ import annotations

import httpx
from fastapi import FastAPI

from roadworthy import Service, from_thread, testing

service = Service("shop")
database = service.database()
mail = service.queue("mail")
site = FastAPI()


@mail.job()
async def send(to: str) -> None:
    """Send nothing."""


@site.post("/orders")
def order(to: str, fail: bool = False) -> dict[str, int | None]:
    with from_thread(database.transaction()):
        number = from_thread(database.fetchval("SELECT 40 + 2"))
        from_thread(send.enqueue(to=to))
        if fail:
            raise ArithmeticError("changed its mind")
    return {"number": number}


app = service.install(site)


async def test_a_plain_handler_joins_one_transaction_with_what_it_enqueues() -> None:
    async with testing.running(service):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.post("/orders", params={"to": "ada"})
            assert (answer.status_code, answer.json()) == (200, {"number": 42})
            failed = await client.post("/orders", params={"to": "bob", "fail": "true"})
            assert failed.status_code == 500
        assert [job.arguments["to"] for job in await testing.enqueued(service, send)] == ["ada"]
