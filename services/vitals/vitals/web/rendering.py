"""Templates as HTML answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

_HEADERS = {"vary": "X-Fragment, Cookie"}


_SPELT = {"hrv": "HRV", "rem": "REM", "vo2max": "VO₂max"}


@cache
def static_url(name: str) -> str:
    """Return the address of a static file, with its version."""
    content = resources.files("vitals").joinpath("static", name).read_bytes()
    return f"/operator/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago it was, in one unit."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{plural(seconds // length, unit)} ago"
    return "just now" if seconds < 5 else f"{seconds} seconds ago"


def plural(count: int, one: str) -> str:
    """Return "1 job", "1,204 jobs"."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def words(name: str) -> str:
    """Return a metric's or job's name as people read it: "Resting heart rate"."""
    text = " ".join(_SPELT.get(word, word) for word in name.split("_"))
    return text[:1].upper() + text[1:]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("vitals", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(static_url=static_url)
    environment.filters.update(ago=ago, plural=plural, words=words)
    return environment


_ENVIRONMENT = _environment()


def render(
    template: str, context: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """Return a template as an HTML answer."""
    html = _ENVIRONMENT.get_template(template).render({"now": datetime.now(UTC), **context})
    return HTMLResponse(html, status_code=status, headers={**_HEADERS, **(headers or {})})
