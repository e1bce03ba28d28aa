"""The handle of the CDNs before a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from roadworthy.binding import Binding
from roadworthy.edge.cdn import Cdn, check
from roadworthy.edge.purge import Purge
from roadworthy.errors import InvalidPurge, NotRunning, TransactionEnded
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
        wait: bool = False,
    ) -> None:
        """Purge exact URLs, what bears one of the tags, what lies below a prefix, or everything, at every CDN.

        Inside a transaction it is sent after the commit, and forgotten where that does not come. This returns before it
        is sent, which is repeated until the CDN accepts it, or for a quarter of an hour; with `wait`, after it.

        Raises:
            InvalidPurge: a value breaks its rule, one of the CDNs has no purge of that kind, or `wait` is asked for
                inside a transaction, which has to end first; nothing is sent.
            PurgeFailed: with `wait`, a CDN refused it, or did not accept it in time.
        """
        binding = self._service.binding("the CDNs")
        purge = Purge(tuple(urls), tuple(tags), tuple(prefixes), everything)
        check(purge, self.specs)
        purger = self._purger()
        if wait and _transacting(binding):
            raise InvalidPurge(
                "a purge cannot be waited for inside a transaction, after which it is sent; leave out wait=True, or "
                "purge after the transaction's block"
            )
        _committed(binding, lambda: purger.ask(purge))
        if wait:
            await purger.wait()

    def _purger(self) -> Purger:
        purger = self._service.binding("the CDNs").purger
        if purger is None:
            raise NotRunning("the CDNs")
        return purger


def invalidated(binding: Binding, tags: Iterable[str]) -> None:
    """Have the CDNs let go of what bears tags that a cache invalidates, once a current transaction has committed."""
    purger = binding.purger
    if purger is not None and purger.cdns:
        known = tuple(tags)
        _committed(binding, lambda: purger.on_invalidate(known))


def _committed(binding: Binding, call: Callable[[], None]) -> None:
    """Call something after the commit of the current transaction; outside one, or after its end, now."""
    if not _transacting(binding):
        call()
        return

    async def after_commit() -> None:
        call()

    binding.pool.after_commit(after_commit)


def _transacting(binding: Binding) -> bool:
    try:
        return binding.pool.current() is not None
    except TransactionEnded:
        return False
