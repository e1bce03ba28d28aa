"""What a running service's handles are bound to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roadworthy.activity.keeper import Keeper
    from roadworthy.cache.caches import Caches
    from roadworthy.database.pool import Pool
    from roadworthy.edge.purger import Purger
    from roadworthy.jobs.engine import Engine
    from roadworthy.jobs.sealing import Keys
    from roadworthy.limits.limiters import Limiters
    from roadworthy.resilience.dependency import Dependencies
    from roadworthy.security.verifying import Verifier
    from roadworthy.telemetry.error_reports import ErrorReports
    from roadworthy.telemetry.registry import MetricRegistry
    from roadworthy.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Binding:
    """The parts that stand behind a service's handles while it runs.

    `engine` keeps the jobs in the database behind `pool`, so that they join its transactions. `caches` are the
    declared ones, as are `limits`. `keys` are those of encrypted jobs, `api_keys` verify those of
    requests. `purger` purges the CDNs. Health looks at the Redis at `redis_url`, and at the disk of `data_directory`.
    Requests come through `trusted_proxies`.
    """

    pool: Pool
    engine: Engine
    metrics: MetricRegistry
    keys: Keys | None = None
    purger: Purger | None = None
    caches: Caches | None = None
    limits: Limiters | None = None
    trusted_proxies: int = 0
    redis_url: str | None = None
    data_directory: Path | None = None
    api_keys: Mapping[str, Verifier] | None = None
    dependencies: Dependencies | None = None
    tracing: Tracing | None = None
    error_reports: ErrorReports | None = None
    activities: Keeper | None = None
