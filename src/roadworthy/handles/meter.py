"""The handle of a meter."""

from __future__ import annotations

from roadworthy.cost.metrics import JOB, METERED, OTHER, ROUTE
from roadworthy.cost.source import CURRENT_ROUTE
from roadworthy.cost.spec import MeterSpec
from roadworthy.handles.host import Host
from roadworthy.jobs.current import current_job


class Meter:
    """Counts what is used by the piece, for the route or the job that the calling code is part of."""

    def __init__(self, service: Host, spec: MeterSpec) -> None:
        """Declared with `Service.meter`."""
        self.spec = spec
        self._service = service

    def add(self, units: float = 1) -> None:
        """Count `units`, which must not be negative. Raises NotRunning while the service does not run."""
        kind, name = _source()
        bound = self._service.binding(f"meter {self.spec.name!r}").metrics.bound(METERED)
        bound.labels(self.spec.name, kind, name).inc(units)


def _source() -> tuple[str, str]:
    if (job := current_job()) is not None:
        return JOB, job.job
    route = CURRENT_ROUTE.get()
    return (OTHER, "") if route is None else (ROUTE, route())
