"""The web application: webhooks, the API, the operator's page, and the service's stack around them."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Route

from vitals.service import service
from vitals.webhooks.receiving import endpoint

site = FastAPI(
    title="Vitals",
    version=service.version,
    description="One truth from every wearable.",
    openapi_url="/api/v1/openapi.json",
    docs_url=None,
    redoc_url=None,
)

site.router.routes.append(Route("/webhooks/{provider}", endpoint))

app = service.install(site)
