"""The web application: pages, API, and the service's stack around both."""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from roadworthy.http.problems import Problem
from sitesearch.service import service
from sitesearch.web import api, owner, owner_keys
from sitesearch.web import pages as public
from sitesearch.web.errors import show_error, show_failure, show_problem
from sitesearch.web.rendering import VersionedFiles

site = FastAPI(
    title="Site Search",
    version=service.version,
    description="A search page for any web site: crawl it, search it, see how both go.",
    openapi_url="/api/v1/openapi.json",
    docs_url=None,
    redoc_url=None,
)
site.add_exception_handler(HTTPException, show_error)
site.add_exception_handler(Problem, show_problem)
site.add_exception_handler(Exception, show_failure)
for router in (api.router, public.router, owner_keys.router, owner.router):
    site.include_router(router)
site.state.routes = [*api.router.routes, *public.router.routes, *owner_keys.router.routes, *owner.router.routes]
site.mount("/static", VersionedFiles(directory=str(resources.files("sitesearch").joinpath("static"))), name="static")

app = service.install(site)
