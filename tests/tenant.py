"""A small service for tests that start real processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

from roadworthy import Service, hours

if os.environ.get("TENANT_FAILS_IN") in sys.argv:
    raise RuntimeError("no licence for this role")

service = Service("tenant", version="1.2.3")
database = service.database()
work = service.queue("work", lease=hours(1))
visits = service.counter("visits_total", "Visits")
done = service.counter("done_total", "Jobs done")


@work.job()
async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)
    done.inc()


@work.job()
async def block(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 (it is what stops a loop)


@work.job(every=hours(1))
async def tidy() -> None:
    done.inc()


async def site(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("this application has no lifespan")
    _, verb, *value = scope["path"].split("/")
    body = str(os.getpid())
    visits.inc()
    match verb:
        case "wait":
            await asyncio.sleep(float(value[0]))
        case "enqueue":
            body = str(await (block if value[0] == "block" else wait).enqueue(seconds=float(value[1])))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})


app = service.install(site)
