"""The handle of the CDNs before a service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from roadworthy.edge.cdn import Cdn, check
from roadworthy.edge.purge import Purge
from roadworthy.errors import NotRunning
from roadworthy.handles.host import Host

if TYPE_CHECKING:
    from roadworthy.edge.purger import Purger


class Cdns:
    """The handle of a service's CDNs, to have them let go of what they keep."""

    def __init__(self, service: Host, specs: tuple[Cdn, ...]) -> None:
        """Declared with `Service.purge_with`."""
        self.specs = specs
        self._service = service

    async def purge(
        self,
        *,
        urls: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
    ) -> None:
        """Purge exact URLs, what bears one of the tags, what lies below a prefix, or everything, at every CDN.

        Inside a transaction it is sent after the commit, and forgotten where that does not come. It returns before it
        is sent: it is repeated until the CDN accepts it, or for a quarter of an hour.

        Raises:
            InvalidPurge: a value breaks its rule, or one of the CDNs has no purge of that kind; nothing is sent.
        """
        binding = self._service.binding("the CDNs")
        purge = Purge(tuple(urls), tuple(tags), tuple(prefixes), everything)
        check(purge, self.specs)
        purger = self._purger()
        if binding.pool.current() is None:
            purger.ask(purge)
            return

        async def after_commit() -> None:
            purger.ask(purge)

        binding.pool.after_commit(after_commit)

    async def settled(self) -> None:
        """Wait until every CDN has accepted what it was asked.

        Raises:
            PurgeFailed: one of them refused something meanwhile, whoever had asked for it, or never accepted it.
        """
        await self._purger().settled()

    def _purger(self) -> Purger:
        purger = self._service.binding("the CDNs").purger
        if purger is None:
            raise NotRunning("the CDNs")
        return purger
