"""Open what stands between a service and what it calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from roadworthy.resilience import breaker_metrics, dependency_metrics
from roadworthy.resilience.dependency import Dependencies

if TYPE_CHECKING:
    from roadworthy.service import ServiceSpec
    from roadworthy.telemetry.registry import MetricRegistry


@asynccontextmanager
async def opened(spec: ServiceSpec, registry: MetricRegistry) -> AsyncIterator[Dependencies]:
    """Serve the dependencies and batches of `spec` within an `async with`."""
    async with Dependencies.open(spec.dependencies, spec.batches) as dependencies:
        dependency_metrics.track(registry, dependencies)
        breakers = [one.breaker for one in dependencies.of.values() if one.breaker is not None]
        breaker_metrics.track(registry, breakers)
        yield dependencies
