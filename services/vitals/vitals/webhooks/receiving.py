"""The webhooks' endpoint on this service's database, secrets and metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import structlog

from roadworthy import DatabaseUnavailable, RoadworthyError
from vitals.ingestion.jobs import keep
from vitals.service import service, webhooks
from vitals.webhooks.collector import Collector
from vitals.webhooks.endpoint import Outcome, Webhooks
from vitals.webhooks.events import NewEvent
from vitals.webhooks.providers import PROVIDERS

_log = structlog.get_logger(__name__)
_NOT_THE_BATCH = (
    DatabaseUnavailable,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    OSError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class Receiving:
    """What receiving webhooks needs: what commits them together."""

    collector: Collector[NewEvent]


@asynccontextmanager
async def _open() -> AsyncIterator[Receiving]:
    for provider in PROVIDERS.values():
        if not provider.secret.is_set:
            _log.warning("webhooks are refused until the provider's secret is set", provider=provider.name)
    async with Collector(_keep, transient=_is_transient).open() as collector:
        yield Receiving(collector)


async def _keep(events: Sequence[NewEvent]) -> None:
    try:
        await keep(events)
    except _NOT_THE_BATCH as error:
        if isinstance(error, RoadworthyError | TimeoutError):
            raise
        raise DatabaseUnavailable(f"{len(events)} webhooks were not kept: {error}") from error


def _is_transient(error: Exception) -> bool:
    return isinstance(error, DatabaseUnavailable | TimeoutError)


receiving = service.resource(_open)


async def _add(event: NewEvent) -> None:
    await receiving.value.collector.add(event)


def _count(outcome: Outcome) -> None:
    webhooks.inc(outcome=outcome)


endpoint = Webhooks(PROVIDERS, _add, _count)
