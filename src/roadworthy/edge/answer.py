"""What of a stored response a request is to get: all of it, a part, or word that it has it already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from roadworthy.edge import ranges
from roadworthy.edge.conditional import headers_of_304, not_modified, range_applies
from roadworthy.edge.stored import StoredResponse

Headers = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """Status, headers and body; to a HEAD, the body is not sent."""

    status: int
    headers: Headers
    body: bytes


def answer(stored: StoredResponse, fields: Mapping[bytes, bytes], *, head: bool, now: float) -> Answer:
    """Return what a request gets, whose headers by name are `fields` (RFC 9110, sections 13 and 14).

    `head` says that it is a HEAD, `now` is Unix time in seconds.
    """
    headers = list(stored.headers)
    if stored.status == 200:
        if not_modified(fields, etag=stored.etag, last_modified=stored.last_modified, now=now):
            return Answer(304, headers_of_304(headers, etag=stored.etag), b"")
        wanted = fields.get(b"range")
        if (
            wanted is not None
            and not head
            and range_applies(fields.get(b"if-range"), etag=stored.etag, last_modified=stored.last_modified)
        ):
            return _part(wanted, headers, stored.body)
    return Answer(stored.status, headers, stored.body)


def _part(wanted: bytes, headers: Headers, body: bytes) -> Answer:
    try:
        part = ranges.part(wanted, len(body))
    except ranges.UnsatisfiableRange:
        left = [pair for pair in headers if pair[0] not in _OF_THE_CONTENT]
        return Answer(416, [*left, (b"content-range", b"bytes */%d" % len(body)), (b"content-length", b"0")], b"")
    if part is None:
        return Answer(200, headers, body)
    left = [pair for pair in headers if pair[0] != b"content-length"]
    described = [(b"content-range", part.content_range), (b"content-length", b"%d" % (part.end - part.first))]
    return Answer(206, left + described, body[part.first : part.end])


_OF_THE_CONTENT = frozenset({b"content-encoding", b"content-language", b"content-length", b"content-type"})
