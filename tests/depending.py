"""A service that depends on a database, on Redis and on another service, for tests that take these away."""

from __future__ import annotations

import os
from typing import Any

from roadworthy import Service, minutes, seconds, url_check

service = Service("depending", version="1.2.3")
database = service.database()
prices = service.cache("prices", ttl=minutes(5), store_timeout=seconds(0.25))

service.check("bank", every=seconds(1), groups=["checkout"])(url_check(os.environ.get("BANK_URL", "http://127.0.0.1/")))


async def site(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("this application has no lifespan")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"open"})


app = service.install(site)
