"""Open what verifies a service's API keys: one connection that is made when the first key is to be read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from roadworthy.database.driver import Connection
from roadworthy.database.queries import load_queries
from roadworthy.database.session import Session
from roadworthy.security import keys, metrics
from roadworthy.security.keys_spec import ApiKeysSpec
from roadworthy.security.verifying import Verifier

if TYPE_CHECKING:
    from roadworthy.telemetry.registry import MetricRegistry

_SECONDS = 1.0


@asynccontextmanager
async def opened(
    specs: Sequence[ApiKeysSpec], dsn: str, registry: MetricRegistry
) -> AsyncIterator[Mapping[str, Verifier]]:
    """Verify the keys of `specs`, by their names, within an `async with`."""
    statements = load_queries("roadworthy.security")

    async def begin(connection: Connection) -> None:
        await connection.execute(statements["pin_plans"])

    session = Session(dsn, statements, name="roadworthy keys", seconds=_SECONDS, begin=begin)
    verifiers = {
        spec.name: Verifier(spec, partial(keys.read, session, spec.name), partial(keys.touch, session))
        for spec in specs
    }
    metrics.track(registry, verifiers)
    try:
        yield verifiers
    finally:
        for verifier in verifiers.values():
            await verifier.close()
        await session.close()
