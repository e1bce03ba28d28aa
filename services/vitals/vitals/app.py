"""The web application: webhooks, the API, the operator's page, and the service's stack around them."""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from vitals.service import service
from vitals.web import api, operator
from vitals.webhooks.receiving import endpoint

_webhooks = Route("/webhooks/{provider}", endpoint)


class Site(FastAPI):
    """The application, past whose middleware webhooks go: for them it would cost a fifth of all that they take."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"].startswith("/webhooks/"):
            match, found = _webhooks.matches(scope)
            if match is Match.FULL:
                scope.update(found, route=_webhooks)
                await _webhooks.handle(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


site = Site(
    title="Vitals",
    version=service.version,
    description="One truth from every wearable.",
    openapi_url="/api/v1/openapi.json",
    docs_url=None,
    redoc_url=None,
)

site.include_router(api.router)
site.include_router(operator.router)
site.mount(
    "/operator/static",
    operator.VersionedFiles(directory=str(resources.files("vitals").joinpath("static"))),
    name="static",
)
site.router.routes.append(_webhooks)

app = service.install(site)
