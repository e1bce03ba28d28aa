"""The dashboards of a service, one module for each: what it has is shown, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from roadworthy.emit.dashboard import Dashboard
from roadworthy.emit.dashboards.api import api_performance
from roadworthy.emit.dashboards.business import business_metrics
from roadworthy.emit.dashboards.caches import cache
from roadworthy.emit.dashboards.cost import cost
from roadworthy.emit.dashboards.database import database_performance
from roadworthy.emit.dashboards.dependencies import dependencies
from roadworthy.emit.dashboards.monitoring import monitoring
from roadworthy.emit.dashboards.objectives import objectives
from roadworthy.emit.dashboards.overview import overview
from roadworthy.emit.dashboards.thresholds import with_thresholds
from roadworthy.emit.dashboards.workers import worker_health
from roadworthy.emit.prometheus import rule_groups
from roadworthy.service import ServiceSpec

BOARDS: tuple[Callable[[ServiceSpec], Dashboard | None], ...] = (
    overview,
    objectives,
    worker_health,
    api_performance,
    business_metrics,
    database_performance,
    cache,
    dependencies,
    cost,
    monitoring,
)
"""What makes each board, in the order in which they are listed; None of what the service has not."""


def dashboards(spec: ServiceSpec) -> tuple[Dashboard, ...]:
    """Return the dashboards of a service, each panel with the threshold of the alert that looks at the same."""
    alerts = [alert for group in rule_groups(spec) for alert in group.alerts]
    made = (board(spec) for board in BOARDS)
    return tuple(with_thresholds(board, alerts) for board in made if board is not None)
