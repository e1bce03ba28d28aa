"""Purges all CDNs of a service from one process: `purge` returns at once, and a sender for each does the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from roadworthy.edge.api import Api
from roadworthy.edge.cdn import Cdn, Cloudflare, CloudFront, Fastly, Varnish, check
from roadworthy.edge.client import Client, HttpClient
from roadworthy.edge.cloudflare import CloudflareApi
from roadworthy.edge.cloudfront import CloudFrontApi
from roadworthy.edge.fastly import FastlyApi
from roadworthy.edge.metrics import EDGE_PURGE_SECONDS, EDGE_PURGES, EDGE_PURGES_WAITING, OUTCOMES
from roadworthy.edge.purge import LONGEST_TAG, Kind, Purge
from roadworthy.edge.sender import Ended, Sender, Timing
from roadworthy.edge.signature import Credentials
from roadworthy.edge.tags import united
from roadworthy.edge.varnish import VarnishApi
from roadworthy.errors import PurgeFailed
from roadworthy.telemetry import logging
from roadworthy.telemetry.registry import MetricRegistry

DRAIN_SECONDS = 3.0
"""How long the end of a process waits for what it has yet to purge."""


class Purger:
    """All CDNs of a service, in one process."""

    def __init__(
        self, cdns: Sequence[Cdn], senders: Sequence[Sender], ended: Callable[[Ended], None] | None = None
    ) -> None:
        """Purge by `senders`; those of `cdns` that have none cannot be asked, and `ended` is told of what they skip."""
        self.cdns = tuple(cdns)
        self._senders = tuple(senders)
        self._ended = ended
        reached = {sender.cdn for sender in senders}
        self._skipped = [cdn for cdn in cdns if cdn not in reached]

    async def purge(
        self,
        *,
        urls: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
        wait: bool = False,
    ) -> None:
        """Have every CDN let go of exact URLs, of what bears a tag, of what lies below a prefix, or of everything.

        It is sent soon after this returns; with `wait`, this returns when every CDN has accepted it.

        Raises:
            InvalidPurge: a value breaks its rule, or one of the CDNs has no purge of that kind; nothing is sent.
            PurgeFailed: with `wait`, a CDN refused it, or did not accept it in time.
        """
        self.ask(Purge(tuple(urls), tuple(tags), tuple(prefixes), everything))
        if wait:
            await self.wait()

    def ask(self, purge: Purge) -> None:
        """Have every CDN purge something, as `purge` does."""
        check(purge, self.cdns)
        values = tuple(dict.fromkeys(purge.values))
        for cdn in self._skipped:
            if self._ended is not None:
                self._ended(Ended(cdn.name, "skipped", len(values), reason="it has no credentials"))
        for sender in self._senders:
            if known := [(kind, value) for kind, value in values if not _too_long(sender.cdn, kind, value)]:
                sender.ask(known)

    def on_invalidate(self, tags: Iterable[str]) -> None:
        """Purge what bears one of the tags that a cache has just invalidated; it never raises.

        A tag that no response can bear is passed over.
        """
        known = tuple(tag for tag in united(tags) if len(tag) <= LONGEST_TAG)
        if known:
            self.ask(Purge(tags=known))

    @property
    def waiting(self) -> int:
        """How many values the CDNs have yet to accept, each counting for itself."""
        return sum(sender.waiting for sender in self._senders)

    async def wait(self) -> None:
        """Wait until every CDN has accepted all that it was asked until now.

        Raises:
            PurgeFailed: one of them refused some of it, or did not accept it in time.
        """
        watches = [(sender, sender.watch()) for sender in self._senders]
        for _, watch in watches:
            await watch.ended.wait()
        for sender, watch in watches:
            if watch.failed:
                raise PurgeFailed(
                    f"CDN {sender.cdn.name!r} has not purged {watch.failed} of what it was asked: {watch.reason}. Mend "
                    "that, and purge it again"
                )

    async def settled(self) -> None:
        """Wait until nothing is left to send."""
        for sender in self._senders:
            await sender.settled()

    @asynccontextmanager
    async def running(self, drain: float = DRAIN_SECONDS) -> AsyncIterator[Purger]:
        """Send within an `async with`; its end takes up to `drain` seconds to send what is left."""
        for sender in self._senders:
            sender.start()
        try:
            yield self
        finally:
            await asyncio.gather(*(sender.stop(drain) for sender in self._senders))


def _too_long(cdn: Cdn, kind: Kind, value: str) -> bool:
    return kind == "tag" and len(value) > cdn.longest_tag


def missing(cdn: Cdn, environment: Mapping[str, str]) -> list[str]:
    """Return the environment variables that a CDN's credentials are in, but for those that are set."""
    return [variable for variable in cdn.variables if not environment.get(variable)]


def apis(cdn: Cdn, environment: Mapping[str, str], client: Client, now: Callable[[], datetime]) -> list[Api]:
    """Return the APIs of a CDN whose credentials are in the environment; several where it is several servers."""
    match cdn:
        case Cloudflare():
            return [CloudflareApi(cdn, environment[cdn.token], client, now)]
        case Fastly():
            return [FastlyApi(cdn, environment[cdn.token], client, now)]
        case CloudFront():
            session = environment.get(cdn.session_token) or None
            credentials = Credentials(environment[cdn.access_key], environment[cdn.secret_key], session)
            return [CloudFrontApi(cdn, credentials, client, now)]
        case Varnish():
            token = None if cdn.token is None else environment[cdn.token]
            return [VarnishApi(url, token, client, now) for url in cdn.urls]


@asynccontextmanager
async def opened(
    cdns: Sequence[Cdn],
    environment: Mapping[str, str] | None,
    metrics: MetricRegistry,
    *,
    ended: Callable[[Ended], None] | None = None,
    client: Client | None = None,
    timing: Timing | None = None,
    drain: float = DRAIN_SECONDS,
) -> AsyncIterator[Purger]:
    """Open the way to the CDNs whose credentials are in the environment; the others are warned about and skipped.

    Without an environment all are skipped, as tests do. `metrics` counts what becomes of purges, and `ended` is told.
    """
    client = client or HttpClient()
    counted = metrics.bound(EDGE_PURGES)
    timed = metrics.bound(EDGE_PURGE_SECONDS)

    def conclude(end: Ended) -> None:
        counted.labels(end.cdn, end.outcome).inc(end.count)
        if end.outcome == "succeeded":
            timed.labels(end.cdn).observe(end.seconds)
        if ended is not None:
            ended(end)

    senders: list[Sender] = []
    for cdn in cdns:
        for outcome in OUTCOMES:
            counted.labels(cdn.name, outcome)
        if environment is None:
            continue
        if absent := missing(cdn, environment):
            logging.get_logger(__name__).warning(
                "a CDN cannot be purged; set its variables", cdn=cdn.name, unset=", ".join(absent)
            )
            continue
        reached = apis(cdn, environment, client, lambda: datetime.now(UTC))
        senders.extend(Sender(cdn, api, conclude, timing=timing) for api in reached)
    purger = Purger(cdns, senders, conclude)
    metrics.bound(EDGE_PURGES_WAITING).track(lambda: purger.waiting)
    async with purger.running(drain):
        yield purger
