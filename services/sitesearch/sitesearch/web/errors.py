"""Errors as people and programs expect them: a page for a browser, problem details for the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.routing import Match

from roadworthy.http.problems import Problem, ProblemResponse
from sitesearch.web.rendering import render

_TITLES = {
    400: "That could not be read",
    403: "Not allowed from there",
    404: "Nothing here",
    405: "Not possible here",
    413: "Too large",
    422: "That does not fit",
    500: "Something went wrong here",
    503: "Busy at the moment",
}


async def show_error(request: Request, error: Exception) -> Any:
    """Answer an HTTPException."""
    assert isinstance(error, HTTPException)  # noqa: S101 (the framework calls it with nothing else)  # nosec B101
    headers = error.headers
    if error.status_code == 405:
        headers = {"allow": ", ".join(sorted(_methods(request)))}
    return _answer(request, Problem(error.status_code, detail=error.detail, headers=headers))


async def show_problem(request: Request, error: Exception) -> Any:
    """Answer a Problem."""
    assert isinstance(error, Problem)  # noqa: S101 (as above)  # nosec B101
    return _answer(request, error)


async def show_failure(request: Request, error: Exception) -> Any:
    """Answer for what nobody expected; the stack around logs it with the request's id."""
    detail = "The fault is ours, and it has been noted. Try again in a moment."
    return _answer(request, Problem(500, detail=detail))


def _methods(request: Request) -> set[str]:
    """What the address can be asked with: each method is a route of its own, and the framework names one route's."""
    found: set[str] = set()
    for route in request.app.state.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods
    return found


def _answer(request: Request, problem: Problem) -> Any:
    if request.url.path.startswith("/api/"):
        return ProblemResponse(problem)
    title = _TITLES.get(problem.status, "That did not work")
    context: Mapping[str, Any] = {"title": title, "detail": problem.detail, "status": problem.status}
    return render("error.html", context, status=problem.status, headers=problem.headers)
