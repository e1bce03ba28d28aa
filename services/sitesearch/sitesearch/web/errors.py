"""Errors as people and programs expect them: a page for a browser, problem details for the API."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from roadworthy.http.problems import Problem, ProblemResponse
from sitesearch.web.rendering import render

_TITLES = {
    400: "That could not be read",
    403: "Not allowed from there",
    404: "Nothing here",
    405: "Not possible here",
    413: "Too large",
    422: "That does not fit",
    503: "Busy at the moment",
}


async def show_error(request: Request, error: Exception) -> Any:
    """Answer an HTTPException."""
    assert isinstance(error, HTTPException)  # noqa: S101 (the framework calls it with nothing else)
    if request.url.path.startswith("/api/"):
        return ProblemResponse(Problem(error.status_code, detail=error.detail))
    title = _TITLES.get(error.status_code, "That did not work")
    context = {"title": title, "detail": error.detail, "status": error.status_code}
    return render("error.html", context, status=error.status_code, headers=error.headers)
