"""The web application: webhooks, the API, the operator's page, and the service's stack around them."""

from __future__ import annotations

from fastapi import FastAPI

from vitals.service import service

site = FastAPI(
    title="Vitals",
    version=service.version,
    description="One truth from every wearable.",
    openapi_url="/api/v1/openapi.json",
    docs_url=None,
    redoc_url=None,
)

app = service.install(site)
