"""A service that asks for keys, for tests that run it as processes."""

from __future__ import annotations

from fastapi import FastAPI

from roadworthy import Service, seconds

service = Service("keyed", version="1.0.0")
service.database()
keys = service.api_keys(prefix="keyed", scopes=("read",), routes={"/api/*": "read"}, stale=seconds(60))

site = FastAPI()


@site.get("/api/me")
async def me() -> dict[str, str]:
    """Tell whose key it is."""
    return {"id": keys.current().id}


app = service.install(site)
