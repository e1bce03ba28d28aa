"""Conditional requests (RFC 9110, section 13): validators compared, preconditions evaluated, and what a 304 carries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from roadworthy.edge.dates import parse_date
from roadworthy.edge.stored import Fields

Outcome = Literal[200, 304, 412]

CONDITIONS = frozenset(
    {b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since", b"if-range"},
)

_TAG = re.compile(rb'[ \t]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')
_NOT_IN_304 = frozenset(
    {
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-md5",
        b"content-range",
        b"content-type",
        b"set-cookie",
        b"transfer-encoding",
    }
)


def weakly_equal(one: bytes, other: bytes) -> bool:
    """Compare two entity tags weakly: for content that is as good as the same."""
    return one.removeprefix(b"W/") == other.removeprefix(b"W/")


def strongly_equal(one: bytes, other: bytes) -> bool:
    """Compare two entity tags strongly: for content that is the same to the byte."""
    return one == other and not one.startswith(b"W/")


def entity_tags(value: bytes) -> list[bytes] | None:
    """Return the entity tags of a list, None where it is malformed."""
    tags: list[bytes] = []
    position = 0
    while position < len(value):
        match = _TAG.match(value, position)
        if match is None:
            return None
        tags.append((match[1] or b"") + match[2])
        position = match.end()
    return tags


def none_match(value: bytes, etag: bytes | None) -> bool:
    """Evaluate `If-None-Match`: True where the request is to go ahead.

    Values that are no list of entity tags are compared whole, since applications exist that send such.
    """
    if value.strip() == b"*":
        return False
    if etag is None:
        return True
    tags = entity_tags(value)
    if tags is None:
        return value.strip() != etag
    return not any(weakly_equal(tag, etag) for tag in tags)


def modified_since(value: bytes, last_modified: bytes | None, now: float) -> bool:
    """Evaluate `If-Modified-Since`: True where the request is to go ahead, as for anything that is no date."""
    since = parse_date(value, now)
    changed = None if last_modified is None else parse_date(last_modified, now)
    return since is None or changed is None or changed > since


def not_modified(fields: Mapping[bytes, bytes], *, etag: bytes | None, last_modified: bytes | None, now: float) -> bool:
    """Return whether a GET or HEAD is answered with 304; `If-None-Match` decides alone where it is there."""
    value = fields.get(b"if-none-match")
    if value is not None:
        return not none_match(value, etag)
    value = fields.get(b"if-modified-since")
    return value is not None and not modified_since(value, last_modified, now)


def outcome(
    method: str,
    fields: Mapping[bytes, bytes],
    *,
    etag: bytes | None,
    last_modified: bytes | None,
    now: float,
    exists: bool = True,
) -> Outcome:
    """Return how an origin answers the preconditions of a request, in the order of RFC 9110, section 13.2.2.

    `fields` are the request's headers by name in lower case; `etag` and `last_modified` are the validators of what
    would be sent; `exists` says whether there is anything at the URL. 200 stands for going ahead.
    """
    match = fields.get(b"if-match")
    if match is not None:
        tags = entity_tags(match) or []
        if match.strip() == b"*":
            if not exists:
                return 412
        elif etag is None or not any(strongly_equal(tag, etag) for tag in tags):
            return 412
    else:
        unmodified = fields.get(b"if-unmodified-since")
        since = None if unmodified is None else parse_date(unmodified, now)
        changed = None if last_modified is None else parse_date(last_modified, now)
        if since is not None and changed is not None and changed > since:
            return 412
    if method in {"GET", "HEAD"}:
        return 304 if exists and not_modified(fields, etag=etag, last_modified=last_modified, now=now) else 200
    value = fields.get(b"if-none-match")
    if value is not None and exists and not none_match(value, etag):
        return 412
    return 200


def range_applies(value: bytes | None, *, etag: bytes | None, last_modified: bytes | None) -> bool:
    """Evaluate `If-Range`: whether the part may be sent that `Range` asks for, rather than the whole."""
    if value is None:
        return True
    value = value.strip()
    if value.startswith((b'"', b"W/")):
        return etag is not None and strongly_equal(value, etag)
    return last_modified is not None and value == last_modified.strip()


def headers_of_304(headers: Sequence[tuple[bytes, bytes]], *, etag: bytes | None) -> list[tuple[bytes, bytes]]:
    """Return the headers of a 304 for a stored response: all but those that describe the content that it has not.

    `Last-Modified` is among them where there is no entity tag to go by.
    """
    return [
        (name, value)
        for name, value in headers
        if name not in _NOT_IN_304 and (name != b"last-modified" or etag is None)
    ]


def validating(
    headers: Sequence[tuple[bytes, bytes]], *, etag: bytes | None, last_modified: bytes | None
) -> list[tuple[bytes, bytes]]:
    """Return a request's headers with the conditions that ask whether a stored response still holds, and no others."""
    kept = [(name, value) for name, value in headers if name not in CONDITIONS]
    if etag is not None:
        kept.append((b"if-none-match", etag))
    if last_modified is not None:
        kept.append((b"if-modified-since", last_modified))
    return kept


def freshened(stored: Fields, received: Sequence[tuple[bytes, bytes]], kept: frozenset[bytes]) -> Fields:
    """Return stored headers updated by those of a 304 (RFC 9111, section 3.2); names in `kept` stay as they are."""
    updates = [(name, value) for name, value in received if name not in kept]
    names = {name for name, _ in updates}
    return (*((name, value) for name, value in stored if name not in names), *updates)
