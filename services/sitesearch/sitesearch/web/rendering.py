"""Templates as HTML answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope


class VersionedFiles(StaticFiles):
    """Static files that never change under one address, where the address carries their hash."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Any:
        """Answer with a file, to be kept for a year where the address names this very version.

        While a new version is brought out, a page of the one can ask for a file of the other: that is kept as briefly
        as one without a version.
        """
        response = super().file_response(full_path, stat_result, scope, status_code)
        asked = scope.get("query_string", b"").decode("latin-1")
        if asked and asked == static_url(Path(full_path).name).partition("?")[2]:
            response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


@cache
def static_url(name: str) -> str:
    """Return the address of a static file, with its version."""
    content = resources.files("sitesearch").joinpath("static", name).read_bytes()
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def query_url(path: str, **parameters: Any) -> str:
    """Return an address with the parameters that have a value."""
    kept = {name: value for name, value in parameters.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(kept)}" if kept else path


def breadcrumbs(url: str) -> list[str]:
    """Return an address as people read it: its host, then the parts of its path."""
    parts = urlsplit(url)
    path = [unquote(part) for part in parts.path.split("/") if part]
    if path:
        path[-1] = re.sub(r"\.(?:html?|php|aspx?|jsp|md)$", "", path[-1])
        if path[-1] == "index":
            path.pop()
    return [parts.netloc, *(part.replace("-", " ").replace("_", " ") for part in path)]


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return "1 page", "1,204 pages"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago it was, in one unit."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{plural(seconds // length, unit)} ago"
    return "just now"


def took(seconds: float) -> str:
    """Return a duration in the two units that matter: "850 ms", "42 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 0.001:
        return "less than 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sitesearch", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(static_url=static_url, query_url=query_url)
    environment.filters.update(breadcrumbs=breadcrumbs, ago=ago, took=took, plural=plural)
    return environment


_ENVIRONMENT = _environment()


def render(
    template: str, context: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """Return a template as an HTML answer."""
    html = _ENVIRONMENT.get_template(template).render({"now": datetime.now(UTC), **context})
    return HTMLResponse(html, status_code=status, headers=dict(headers or {}))
