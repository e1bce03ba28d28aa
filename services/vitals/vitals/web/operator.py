"""The operator's page, and the same as JSON.

A program sends the operator's key as a bearer token. A browser signs in with it and gets a cookie; what it posts must
carry the session's token and come from this very site, so that no other page can act in the operator's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from roadworthy.http.problems import Problem
from vitals import remembered
from vitals.operating import failures
from vitals.operating.session import COOKIE, LASTING, Operator
from vitals.reading import latest
from vitals.runs import jobs as run_jobs
from vitals.runs import runs
from vitals.service import database, operator_key, service
from vitals.web.rendering import render, static_url

VARIABLE = operator_key.spec.name
WHO = "operator's page"

_CHALLENGE = {"www-authenticate": 'Bearer realm="vitals operator"'}
_FRAGMENT = "x-fragment"

router = APIRouter(prefix="/operator", include_in_schema=False)


def _operator() -> Operator | None:
    """Return who the operator is now, None where no key is set."""
    return Operator(operator_key.value) if operator_key.is_set else None


class VersionedFiles(StaticFiles):
    """Static files that never change under one address, where the address carries their hash."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Any:
        """Answer with a file, to be kept for a year where the address names this very version of it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        asked = scope.get("query_string", b"").decode("latin-1")
        if asked and asked == static_url(PurePath(full_path).name).partition("?")[2]:
            response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


def _cookie(request: Request) -> str | None:
    """Return the request's session cookie where it is genuine."""
    cookie = request.cookies.get(COOKIE, "")
    operator = _operator()
    return cookie if operator is not None and operator.recognises(cookie) else None


def _is_program(request: Request) -> bool:
    """Return whether the request carries the operator's key itself; no other site can make a browser send that."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    operator = _operator()
    return operator is not None and scheme.lower() == "bearer" and operator.knows(key.strip())


def _require(request: Request) -> None:
    """Raise Problem 401 for a stranger."""
    if not _is_program(request) and _cookie(request) is None:
        raise Problem(401, detail=f"Send the operator's key ({VARIABLE}) as a bearer token.", headers=_CHALLENGE)


def _require_intent(request: Request, token: str) -> None:
    """Raise Problem 401 for a stranger, 403 for what another site made the operator's browser send."""
    _require(request)
    if _is_program(request):
        return
    cookie = _cookie(request)
    operating = _operator()
    if cookie is None or operating is None or _is_foreign(request) or not operating.accepts(cookie, token):
        raise Problem(403, detail="This was not sent from the operator's page. Open it again and repeat.")


def _is_foreign(request: Request) -> bool:
    """Return whether a browser says that another site's page sent this."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


async def _form(request: Request) -> dict[str, str]:
    """Return a posted form's fields. Raises Problem 400 for what is none."""
    body = await request.body()
    try:
        return {name: values[-1] for name, values in parse_qs(body.decode(), max_num_fields=20).items()}
    except ValueError as error:
        raise Problem(400, detail="The form could not be read; send it as a browser does.") from error


async def _everything() -> dict[str, Any]:
    """Return all that the page shows."""
    async with asyncio.TaskGroup() as group:
        tasks = {
            "health": group.create_task(service.health()),
            "freshness": group.create_task(latest.freshness(database)),
            "quality": group.create_task(remembered.quality()),
            "alerts": group.create_task(remembered.low_quality()),
            "kinds": group.create_task(failures.kinds()),
            "failed": group.create_task(failures.latest()),
            "runs": group.create_task(runs.latest(database, 6)),
        }
    return {name: task.result() for name, task in tasks.items()} | {"at": datetime.now(UTC)}


@router.get("")
async def page(request: Request) -> Response:
    """Show how all goes: the whole page, or for our script what of it changes."""
    cookie, operator = _cookie(request), _operator()
    if cookie is None or operator is None:
        if request.headers.get(_FRAGMENT):
            return render("session_over.html", {}, status=401)
        return render("sign_in.html", {"configured": operator is not None, "variable": VARIABLE, "wrong": False})
    fragment = request.headers.get(_FRAGMENT) == "overview"
    found = await _everything()
    context = found | {
        "token": operator.token_of(cookie),
        "said": _said(request.query_params),
        "figures": _figures(found["health"]["checks"]),
        "queues": _queues(found["health"]["checks"]),
        "warnings": [
            (name, reading["output"])
            for name, (reading,) in found["health"]["checks"].items()
            if reading["status"] != "pass" and "output" in reading
        ],
    }
    return render("overview.html" if fragment else "operator.html", context)


_FIGURES = (
    ("database:responseTime", "Database answers in"),
    ("webhooks:success", "Webhooks read"),
    ("webhooks:pending", "Webhooks waiting"),
    ("confidence:mean", "Mean confidence"),
    ("latest_metrics:lag", "Latest metrics lag"),
    ("latest_metrics:refreshTime", "A refresh takes"),
    ("latest_metrics:hitRatio", "Answered from the cache"),
)


def _figures(checks: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the label, value, unit and status of the figures at the top, those that there are."""
    shown = []
    for name, label in _FIGURES:
        for reading in checks.get(name, ()):
            value = reading.get("observedValue")
            unit = reading.get("observedUnit", "").removeprefix("events")
            if name.endswith(":hitRatio"):
                value, unit = 100 * value, "%"
            text = "–" if value is None else f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
            shown.append((label, text.removesuffix(".0"), unit, reading["status"]))
    return shown


def _queues(checks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how each queue stands, as far as the report tells."""
    columns = ("workers", "ready", "running", "dead", "oldestReady")
    return [
        {"name": queue.name}
        | {
            column: reading.get("observedValue")
            for column in columns
            for reading in checks.get(f"{queue.name}:{column}", ())
        }
        for queue in service.spec.queues
    ]


_SAID = {
    "retried": "{count} tried again.",
    "begun": "Begun. Its progress is shown below.",
    "busy": "One is under way already; its progress is shown below.",
    "cancelled": "Cancelled. What is under way is finished.",
    "over": "It was over already.",
}


def _said(parameters: Mapping[str, str]) -> str:
    """Return what the last action came to, from the address that it led to."""
    count = parameters.get("count", "")
    jobs = "1 job" if count == "1" else f"{int(count):,} jobs" if count.isascii() and count.isdigit() else ""
    return _SAID.get(parameters.get("said", ""), "").format(count=jobs)


def _back(said: str, **parameters: object) -> Response:
    return RedirectResponse(f"/operator?{urlencode({'said': said, **parameters})}", status_code=303)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Begin a session for who knows the operator's key."""
    fields = await _form(request)
    operator = _operator()
    if operator is None or _is_foreign(request) or not operator.knows(fields.get("key", "").strip()):
        context = {"configured": operator is not None, "variable": VARIABLE, "wrong": True}
        return render("sign_in.html", context, status=403)
    response = RedirectResponse("/operator", status_code=303)
    response.set_cookie(
        COOKIE,
        operator.begin(),
        max_age=int(LASTING.total_seconds()),
        path="/operator",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session of this browser."""
    fields = await _form(request)
    if _cookie(request) is None:
        return RedirectResponse("/operator", status_code=303)
    _require_intent(request, fields.get("token", ""))
    response = RedirectResponse("/operator", status_code=303)
    response.delete_cookie(COOKIE, path="/operator")
    return response


@router.post("/failed/retry")
async def retry_from_page(request: Request) -> Response:
    """Try one failed job again, or all of a kind, as a button of the page asks."""
    fields = await _form(request)
    if _cookie(request) is None:
        return RedirectResponse("/operator", status_code=303)
    _require_intent(request, fields.get("token", ""))
    return _back("retried", count=await _retry(fields))


@router.post("/runs")
async def begin_from_page(request: Request) -> Response:
    """Begin a run over everything, as a button of the page asks."""
    fields = await _form(request)
    if _cookie(request) is None:
        return RedirectResponse("/operator", status_code=303)
    _require_intent(request, fields.get("token", ""))
    return _back("busy" if await run_jobs.begin(_kind(fields)) is None else "begun")


@router.post("/runs/cancel")
async def cancel_from_page(request: Request) -> Response:
    """Cancel a run, as a button of the page asks."""
    fields = await _form(request)
    if _cookie(request) is None:
        return RedirectResponse("/operator", status_code=303)
    _require_intent(request, fields.get("token", ""))
    return _back("cancelled" if await runs.cancel(database, _number(fields.get("id"))) else "over")


@router.get("/api/overview")
async def get_overview(request: Request) -> Response:
    """Return what the page shows as JSON."""
    _require(request)
    found = await _everything()
    freshness: latest.Freshness = found["freshness"]
    return _json(
        {
            "at": found["at"].isoformat(),
            "health": found["health"],
            "latest_metrics": _plain(freshness)
            | {"lag_seconds": freshness.lag.total_seconds(), "took_seconds": freshness.took.total_seconds()},
            "quality": _plain(found["quality"]),
            "low_quality": [_plain(each) for each in found["alerts"]],
            "failed": {
                "kinds": [_plain(each) for each in found["kinds"]],
                "jobs": [_plain(each) for each in found["failed"]],
            },
            "runs": [_plain(each) | {"share": each.share} for each in found["runs"]],
        }
    )


@router.post("/api/failed/retry")
async def retry_failed(request: Request) -> Response:
    """Try again the failed job `id`, or all of `job` that died of `error_class`, or of anything."""
    _require_intent(request, request.headers.get("x-csrf-token", ""))
    return _json({"retried": await _retry(await _members(request))})


@router.post("/api/runs")
async def begin_run(request: Request) -> Response:
    """Begin a run over everything: `kind` is `recalculate` or `backfill`. 409 while one of its kind is on."""
    _require_intent(request, request.headers.get("x-csrf-token", ""))
    run = await run_jobs.begin(_kind(await _members(request)))
    if run is None:
        raise Problem(409, detail="One of this kind is under way; wait for it or cancel it.")
    return _json({"id": run}, status=202)


@router.delete("/api/runs/{run}")
async def cancel_run(request: Request, run: int) -> Response:
    """Cancel a run; what is under way is finished. 404 where there is none under way."""
    _require_intent(request, request.headers.get("x-csrf-token", ""))
    if not await runs.cancel(database, _number(run)):
        raise Problem(404, detail="There is no such run under way.")
    return Response(status_code=204)


async def _members(request: Request) -> dict[str, Any]:
    """Return the members of a JSON object. Raises Problem 422 for anything else."""
    try:
        members = await request.json()
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise Problem(422, detail="Send a short JSON object.")
    return members


async def _retry(asked: Mapping[str, Any]) -> int:
    """Retry what is asked for; return how many jobs that were."""
    job, error_class = asked.get("job"), asked.get("error_class")
    if asked.get("id") is not None:
        return await failures.retry_one(_number(asked["id"]), who=WHO)
    if not isinstance(job, str) or not isinstance(error_class, str | None):
        raise Problem(422, detail="Name the failed job by its id, or a kind by job and, if you like, error_class.")
    return await failures.retry_kind(job, error_class or None, who=WHO)


def _kind(asked: Mapping[str, Any]) -> runs.Kind:
    if asked.get("kind") not in runs.KINDS:
        raise Problem(422, detail=f"kind is one of {', '.join(runs.KINDS)}.")
    return cast("runs.Kind", asked["kind"])


def _number(value: object) -> int:
    """Return an id. Raises Problem 422 for what is none."""
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem(422, detail="An id is a positive whole number.")
    return int(text)


def _plain(value: Any) -> dict[str, Any]:
    """Return a dataclass as what JSON can hold."""
    return {name: _scalar(each) for name, each in asdict(value).items()}


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | dict | list | None) else str(value)


def _json(content: Any, status: int = 200) -> Response:
    return JSONResponse(content, status_code=status)
