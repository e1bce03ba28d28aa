"""What can come of an address, and every reason for which it gives no page, in words for people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Reason(StrEnum):
    """Why an address gives no page."""

    PRIVATE_ADDRESS = "private_address"
    BAD_ADDRESS = "bad_address"
    ROBOTS_FORBIDDEN = "robots_forbidden"
    ROBOTS_UNREACHABLE = "robots_unreachable"
    REDIRECT_LOOP = "redirect_loop"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    REDIRECT_LEAVES_SITE = "redirect_leaves_site"
    HTTP_STATUS = "http_status"
    CONTENT_TYPE = "content_type"
    NOT_TEXT = "not_text"
    TOO_LARGE = "too_large"
    COMPRESSION_BOMB = "compression_bomb"
    BAD_ENCODING = "bad_encoding"
    TOO_SLOW = "too_slow"
    NO_ANSWER = "no_answer"
    NO_SUCH_HOST = "no_such_host"
    CONNECTION = "connection"
    BAD_HTTP = "bad_http"
    SERVER_ERROR = "server_error"
    SERVER_BUSY = "server_busy"
    BAD_SITEMAP = "bad_sitemap"
    NO_INDEX = "no_index"
    CANONICAL_ELSEWHERE = "canonical_elsewhere"
    TOO_MANY_ALIKE = "too_many_alike"
    PAGE_LIMIT = "page_limit"
    WORKER_LOST = "worker_lost"
    CRAWL_CANCELLED = "crawl_cancelled"


TEXT: dict[str, str] = {
    Reason.PRIVATE_ADDRESS: "Leads to a private address or a port that is not for web pages",
    Reason.BAD_ADDRESS: "Leads to something that is no web address",
    Reason.ROBOTS_FORBIDDEN: "Forbidden by robots.txt",
    Reason.ROBOTS_UNREACHABLE: "robots.txt could not be read, so nothing may be fetched",
    Reason.REDIRECT_LOOP: "Redirects in a circle",
    Reason.TOO_MANY_REDIRECTS: "Redirects too many times",
    Reason.REDIRECT_LEAVES_SITE: "Redirects away from the site",
    Reason.HTTP_STATUS: "Answers with an error",
    Reason.CONTENT_TYPE: "Is not a page (by its content type)",
    Reason.NOT_TEXT: "Is not a page (binary data sent as text)",
    Reason.TOO_LARGE: "Is too large",
    Reason.COMPRESSION_BOMB: "Expands without measure when decompressed",
    Reason.BAD_ENCODING: "Cannot be decompressed",
    Reason.TOO_SLOW: "Had not ended when its time was up",
    Reason.NO_ANSWER: "Does not answer in time",
    Reason.NO_SUCH_HOST: "Its host's name is not found",
    Reason.CONNECTION: "Cannot be connected to",
    Reason.BAD_HTTP: "Answers with something that is not HTTP, or with oversized headers",
    Reason.SERVER_ERROR: "Its server fails",
    Reason.SERVER_BUSY: "Its server asks for fewer requests",
    Reason.BAD_SITEMAP: "Is no sitemap that can be read",
    Reason.NO_INDEX: "Asks not to be indexed",
    Reason.CANONICAL_ELSEWHERE: "Names another address as its own",
    Reason.TOO_MANY_ALIKE: "One of too many addresses that differ only in numbers",
    Reason.PAGE_LIMIT: "Beyond the site's page limit",
    Reason.WORKER_LOST: "Its worker was lost time and again",
    Reason.CRAWL_CANCELLED: "The crawl was cancelled",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer with a body. `url` is where it came from, after redirects; `size` the bytes over the wire."""

    url: str
    body: bytes
    media_type: str
    charset: str | None
    etag: str | None = None
    last_modified: str | None = None
    robots_tag: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class NotModified:
    """The server says that nothing changed."""


@dataclass(frozen=True, slots=True)
class Redirected:
    """The address leads to another one, which is known already or will be visited on its own."""

    target: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The address gives no page, and asking again would not help."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The address gave no page this time; `retry_after` is how long its server asks to be left alone."""

    reason: Reason
    detail: str = ""
    retry_after: timedelta | None = None


Result = Fetched | NotModified | Redirected | Refused | Failed
