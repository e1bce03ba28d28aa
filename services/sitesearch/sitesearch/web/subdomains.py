"""Sub-domains: each site's search page under a name of its own, as in docs.search.example.

SITESEARCH_BASE_DOMAIN names what they are below. There, a site's search page is all there is: the pages of owners and
the list of sites are on the base domain alone, which can so be kept behind a login while the wildcard is everybody's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from fastapi import HTTPException, Request

VARIABLE = "SITESEARCH_BASE_DOMAIN"

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NOT_HERE = "This is not on a site's own address. Open it on the address of the whole service."


def base_domain(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the domain that sites have sub-domains of, None where they have none."""
    return (os.environ if environ is None else environ).get(VARIABLE, "").strip().strip(".").lower() or None


def site_of(host: str | None, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the slug of the site whose sub-domain a Host header names, None for any other host."""
    base = base_domain(environ)
    if base is None or not host:
        return None
    name = host.lower().partition(":")[0].removesuffix(".")
    if not name.endswith(f".{base}"):
        return None
    label = name[: -len(base) - 1]
    return label if label != "www" and _LABEL.fullmatch(label) else None


def address_of(request: Request, slug: str) -> str | None:
    """Return the address of a site's own search page, as this request's host is reached; None without sub-domains."""
    base = base_domain()
    if base is None:
        return None
    port = f":{request.url.port}" if request.url.port else ""
    return f"{request.url.scheme}://{slug}.{base}{port}/"


def refuse_on_subdomains(request: Request) -> None:
    """Raise HTTPException 404 on the sub-domain of a site."""
    if site_of(request.headers.get("host")) is not None:
        raise HTTPException(404, _NOT_HERE)


def refuse_other_sites_there(request: Request) -> None:
    """Raise HTTPException 404 on the sub-domain of another site than the path names, or where it names none."""
    own = site_of(request.headers.get("host"))
    if own is not None and request.path_params.get("site") != own:
        raise HTTPException(404, _NOT_HERE)
