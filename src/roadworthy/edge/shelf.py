"""The responses of URLs with their variants, on top of a storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from roadworthy.edge.conditional import freshened
from roadworthy.edge.dates import format_date
from roadworthy.edge.fields import NOT_STORED, members
from roadworthy.edge.freshness import Assessment, kept_for
from roadworthy.edge.storage import ResponseStorage
from roadworthy.edge.stored import Fields, StoredResponse, signpost
from roadworthy.edge.variants import MOST_NAMES, selecting, vary_names

_SIGNPOST_KEPT = 7 * 86400.0
_BODILESS = frozenset({204, 205})
_OF_THE_CONTENT = frozenset({b"content-encoding", b"content-length", b"content-range", b"content-type"})
"""What a 304 does not change: the stored content is as it was."""


def variant_key(key: str, names: Sequence[bytes], fields: Mapping[bytes, bytes]) -> str:
    """Return the key of the variant of a URL that matches a request's headers."""
    return f"#{selecting(names, fields)} {key}"


def url_tag(key: str) -> str:
    """Return the tag that all variants of a URL bear."""
    return f"url:{key}"


class Shelf:
    """Keeps and finds responses. `fields` are always a request's headers by name."""

    def __init__(self, storage: ResponseStorage) -> None:
        """Keep them in `storage`."""
        self.storage = storage

    async def find(self, key: str, fields: Mapping[bytes, bytes]) -> tuple[str, StoredResponse | None]:
        """Return the key for a request to a URL, which is its variant's where it has variants, and what is there."""
        found = self.storage.peek(key) or await self.storage.get(key)
        if found is None or found.status:
            return key, found
        key = variant_key(key, found.vary, fields)
        return key, self.storage.peek(key) or await self.storage.get(key)

    async def keep(
        self, key: str, fields: Mapping[bytes, bytes], response: StoredResponse, moment: Any, now: float
    ) -> bool:
        """Keep a response to a request for a URL; return whether it is kept.

        Request headers that other responses of the URL depend on count for it as well: what differs in them is kept
        apart, whichever response came last.
        """
        varies = vary_names(value for name, value in response.headers if name == b"vary")
        if varies is None:
            return False
        there = self.storage.peek(key) or await self.storage.get(key)
        known = there.vary if there is not None and not there.status else ()
        names = tuple(sorted({*varies, *known}))
        if len(names) > MOST_NAMES:
            return False
        lifetime = kept_for(response, now)
        if not names:
            return await self.storage.put(key, response, moment, lifetime)
        if names != known and not await self.storage.put(key, signpost(names), moment, _SIGNPOST_KEPT):
            return False
        response = msgspec.structs.replace(response, tags=(*response.tags, url_tag(key)))
        return await self.storage.put(variant_key(key, names, fields), response, moment, lifetime)

    async def drop(self, key: str) -> None:
        """Forget all responses of a URL, and those under way."""
        await self.storage.delete(key)
        await self.storage.invalidate((url_tag(key),))


def stored_response(
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes,
    assessment: Assessment,
    *,
    requested: float,
    received: float,
    route: str | None = None,
    tags: Iterable[str] = (),
) -> StoredResponse:
    """Return what to keep of a response; it bears `tags` and those that its headers name."""
    kept = _kept_fields(headers, assessment.without)
    names = {name for name, _ in kept}
    if b"date" not in names:
        kept += ((b"date", format_date(received)),)
    if b"content-length" not in names and status not in _BODILESS:
        kept += ((b"content-length", b"%d" % len(body)),)
    fresh_until = 0.0 if assessment.always_validate else received + assessment.lifetime - assessment.initial_age
    return StoredResponse(
        status=status,
        headers=kept,
        body=body,
        requested=requested,
        received=received,
        initial_age=assessment.initial_age,
        lifetime=assessment.lifetime,
        fresh_until=fresh_until,
        always_validate=assessment.always_validate,
        may_be_stale=assessment.may_be_stale,
        stale_while=assessment.stale_while,
        stale_error=assessment.stale_error,
        for_all=assessment.for_all,
        etag=_first(kept, b"etag"),
        last_modified=_first(kept, b"last-modified"),
        tags=tuple(dict.fromkeys([*tags, *_tags(headers)])),
        route=route,
    )


def updated_headers(
    stored: StoredResponse, headers: Sequence[tuple[bytes, bytes]], received: float
) -> list[tuple[bytes, bytes]]:
    """Return the headers of a stored response after a 304 or a HEAD brought `headers` (RFC 9111, section 3.2).

    `received` is when they came, Unix time in seconds; it is their date where they have none.
    """
    brought = _kept_fields(headers, frozenset())
    if not any(name == b"date" for name, _ in brought):
        brought += ((b"date", format_date(received)),)
    return list(freshened(stored.headers, brought, _OF_THE_CONTENT))


def _kept_fields(headers: Sequence[tuple[bytes, bytes]], without: frozenset[bytes]) -> Fields:
    dropped = NOT_STORED | without | {b"age"}
    dropped |= set(members(value for name, value in headers if name == b"connection"))
    return tuple((name, value) for name, value in headers if name not in dropped)


def _tags(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    tags: dict[str, None] = {}
    for name, value in headers:
        if name == b"cache-tag":
            tags |= dict.fromkeys(part.strip() for part in value.decode("latin-1").split(","))
        elif name == b"surrogate-key":
            tags |= dict.fromkeys(value.decode("latin-1").split())
    return [tag for tag in tags if tag]


def _first(headers: Fields, wanted: bytes) -> bytes | None:
    return next((value for name, value in headers if name == wanted), None)
