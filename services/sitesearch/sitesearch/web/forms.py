"""Forms: reading what a browser posted, and only what came from our own pages."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException, Request
from pydantic import ValidationError

from sitesearch.sites.settings import SiteSettings

_LISTS = frozenset({"include", "exclude"})


async def read_form(request: Request) -> dict[str, str]:
    """Return a posted form's fields, the last of each name.

    Raises HTTPException 403 for a form that another site posted.
    """
    refuse_other_sites(request)
    body = await request.body()
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise HTTPException(400, "The form could not be read; send it as a browser does.") from error
    return {name: values[-1].replace("\x00", "") for name, values in fields.items()}


def refuse_other_sites(request: Request) -> None:
    """Raise HTTPException 403 where a browser says that another site's page sent this."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if (site in ("cross-site", "same-site")) if site is not None else foreign:
        raise HTTPException(403, "This was sent by a page of another site. Open the form here and send it again.")


def site_settings(fields: Mapping[str, str]) -> tuple[SiteSettings | None, dict[str, str]]:
    """Return the settings that a form holds, or None with what is wrong by field."""
    values: dict[str, object] = {}
    for name in SiteSettings.model_fields:
        text = fields.get(name, "").strip()
        if name in _LISTS:
            values[name] = [line.strip() for line in text.splitlines() if line.strip()]
        elif text:
            values[name] = text
    values.setdefault("start_url", "")
    try:
        return SiteSettings.model_validate(values), {}
    except ValidationError as error:
        return None, {str(each["loc"][0]): message(each["msg"]) for each in error.errors()}


def message(text: str) -> str:
    """Return pydantic's message as a sentence."""
    text = text.removeprefix("Value error, ")
    return text[:1].upper() + text[1:].rstrip(".") + "."
