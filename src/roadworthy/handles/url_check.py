"""A check that asks an address on the network: an API that a service calls, or another service's probe."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from roadworthy.edge.client import Client, HttpClient
from roadworthy.errors import DeclarationError
from roadworthy.health.policy import Reading
from roadworthy.health.spec import Observe

_SUCCESS = range(200, 400)


def url_check(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    expect: Container[int] = _SUCCESS,
    slow: timedelta | None = None,
    client: Client | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Observe:
    """Make the function of a check that asks `url`, to be given to `service.check("name")`.

    It fails where there is no answer, or one whose status is not among `expect`, and warns of one that took longer than
    `slow`. Redirects are not followed, and servers' certificates are verified. `client` asks, `clock` measures.

    Raises:
        DeclarationError: `url` is no http or https URL, or has a password in it, which reports would show.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DeclarationError(f"url_check({url!r}) needs a whole URL; write it as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise DeclarationError(
            f"url_check() of {parts.hostname} has a user or password in its URL, which reports show; use headers="
        )
    asking = client or HttpClient()
    sent = {"Accept": "*/*", "User-Agent": "roadworthy", **(headers or {})}
    name = f"{parts.netloc}:responseTime"

    async def run() -> Sequence[Reading]:
        began = clock()
        status = (await asking.request(method, url, sent)).status
        took = clock() - began
        milliseconds = round(took * 1000, 3)
        if status not in expect:
            return [Reading(name, "fail", milliseconds, "ms", f"answers with status {status}")]
        if slow is not None and took > slow.total_seconds():
            return [Reading(name, "warn", milliseconds, "ms", f"takes longer than {slow.total_seconds():g} s")]
        return [Reading(name, "pass", milliseconds, "ms")]

    return run
