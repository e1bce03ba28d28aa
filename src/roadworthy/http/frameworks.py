"""Problem details inside Starlette and FastAPI, whose own error handling the stack outside cannot see.

Handlers are registered for an application that takes them, in place of the framework's defaults; one that the
application registered itself is left alone. No framework is imported: what is not loaded cannot have made the app.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from roadworthy.database import driver
from roadworthy.errors import DatabaseUnavailable, DependencyFailed, KeyRefused, RateLimited
from roadworthy.http.problems import Problem, ProblemResponse, exceeded, refused, unanswered, unavailable

Handler = Callable[[Any, Any], Awaitable[ProblemResponse]]


def register_problems(app: object) -> None:
    """Have `app` answer its own errors with problem details; does nothing to an app without exception handlers."""
    add = getattr(app, "add_exception_handler", None)
    registered = getattr(app, "exception_handlers", None)
    if not callable(add) or not isinstance(registered, dict):
        return
    if Exception not in registered and 500 not in registered:
        add(Exception, _unhandled)
    handlers: list[tuple[type[Exception] | None, Handler]] = [
        (Problem, _problem),
        (DatabaseUnavailable, _unavailable),
        *((kind, _cut) for kind in driver.CUT),
        (KeyRefused, _refused),
        (DependencyFailed, _unanswered),
        (RateLimited, _limited),
        (_loaded("starlette.exceptions", "HTTPException"), _http_exception),
        (_loaded("fastapi.exceptions", "RequestValidationError"), _invalid),
    ]
    for exception, handler in handlers:
        if exception is not None and _is_default(registered.get(exception)):
            add(exception, handler)


def _loaded(module: str, name: str) -> type[Exception] | None:
    return getattr(sys.modules.get(module), name, None)


def _is_default(handler: object) -> bool:
    return handler is None or getattr(handler, "__module__", "") == "fastapi.exception_handlers"


async def _unhandled(_request: Any, _error: Any) -> ProblemResponse:
    return ProblemResponse(Problem(500))


async def _problem(_request: Any, problem: Problem) -> ProblemResponse:
    return ProblemResponse(problem)


async def _unavailable(_request: Any, error: DatabaseUnavailable) -> ProblemResponse:
    return ProblemResponse(unavailable(error))


async def _cut(_request: Any, error: Exception) -> ProblemResponse:
    if not driver.was_cut(error):
        raise error
    return ProblemResponse(unavailable(error))


async def _refused(_request: Any, error: KeyRefused) -> ProblemResponse:
    return ProblemResponse(refused(error))


async def _unanswered(_request: Any, error: DependencyFailed) -> ProblemResponse:
    return ProblemResponse(unanswered(error))


async def _limited(_request: Any, error: RateLimited) -> ProblemResponse:
    return ProblemResponse(exceeded(error.decision))


async def _http_exception(_request: Any, error: Any) -> ProblemResponse:
    if isinstance(error.detail, str):
        detail = None if error.detail == Problem(error.status_code).title else error.detail
        return ProblemResponse(Problem(error.status_code, detail=detail, headers=error.headers))
    return ProblemResponse(Problem(error.status_code, headers=error.headers, errors=error.detail))


async def _invalid(_request: Any, error: Any) -> ProblemResponse:
    """Name each invalid part of the request, without repeating its value: it may be a password."""
    errors = [
        {"location": [str(part) for part in one["loc"]], "detail": one["msg"], "type": one["type"]}
        for one in error.errors()
    ]
    return ProblemResponse(Problem(422, detail="The request is not valid; see errors.", errors=errors))
