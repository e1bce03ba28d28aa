"""The web application: pages, API, and the service's stack around both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from roadworthy.http.stack import Stack
from sitesearch.service import pages, service
from sitesearch.sites.queries import Recorder
from sitesearch.web import api, owner
from sitesearch.web import pages as public
from sitesearch.web.context import Context
from sitesearch.web.errors import show_error
from sitesearch.web.rendering import VersionedFiles

_recorder = Recorder(pages)


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with _recorder.running():
        yield


def _draining() -> bool:
    installed = service.installed_app
    return isinstance(installed, Stack) and installed.drain.started


site = FastAPI(
    title="Site Search",
    version=service.version,
    description="A search page for any web site: crawl it, search it, see how both go.",
    openapi_url="/api/v1/openapi.json",
    docs_url=None,
    redoc_url=None,
    lifespan=_lifespan,
)
site.state.context = Context(_recorder, _draining)
site.add_exception_handler(HTTPException, show_error)
site.include_router(api.router)
site.include_router(public.router)
site.include_router(owner.router)
site.mount("/static", VersionedFiles(directory=str(resources.files("sitesearch").joinpath("static"))), name="static")

app = service.install(site)
