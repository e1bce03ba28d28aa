"""The declaration: a Service, whose methods stand in `declaring`, and the handles that its code uses.

Declaring does no I/O. Each call validates what it is given, records a frozen spec with the place it was written at, and
returns a handle. A handle works while the service runs and raises `NotRunning` otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from roadworthy.activity.spec import ActivitySpec
from roadworthy.cache.spec import CacheSpec
from roadworthy.cost.spec import MeterSpec, PricesSpec
from roadworthy.database.spec import DatabaseSpec
from roadworthy.declaration import Declared, declaring_place
from roadworthy.declaring.calls import Calls
from roadworthy.declaring.data import Data
from roadworthy.declaring.observing import Observing
from roadworthy.declaring.promises import Promises
from roadworthy.declaring.requests import Requests
from roadworthy.declaring.work import Work
from roadworthy.edge.cdn import Cdn as PurgedCdn
from roadworthy.edge.spec import EdgeSpec, FrontSpec
from roadworthy.errors import DeclarationError, NotRunning
from roadworthy.handles.resource import Resource
from roadworthy.handles.secret import Secret
from roadworthy.health.spec import Check
from roadworthy.jobs.metrics import DURATION_BUCKETS
from roadworthy.jobs.spec import JobSpec, QueueSpec
from roadworthy.limits.spec import LimitSpec
from roadworthy.objectives.panel import PanelSpec
from roadworthy.objectives.spec import AlertSpec, ObjectiveKind, ObjectiveSpec
from roadworthy.objectives.weekly import DriftSpec, LowSpec
from roadworthy.resilience.batching import BatchSpec
from roadworthy.resilience.shedding_spec import SheddingSpec
from roadworthy.resilience.spec import DependencySpec
from roadworthy.scaling.spec import Scaling
from roadworthy.security import audit
from roadworthy.security.bounds import BoundsSpec, HostsSpec
from roadworthy.security.browsers import BrowsersSpec
from roadworthy.security.cross_origin import CorsSpec
from roadworthy.security.keys_spec import ApiKeysSpec
from roadworthy.security.secrets import SecretSpec
from roadworthy.telemetry.spec import LATENCY_BUCKETS, MetricSpec
from roadworthy.telemetry.tracing_spec import ErrorReportsSpec, TracingSpec

if TYPE_CHECKING:
    from roadworthy.binding import Binding
    from roadworthy.runtime.settings import Settings


_SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]*")


ASGIApp = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """Everything that a service declares, for `check` and whatever is generated from it.

    `places` says where each was declared ("path:line"), by (kind, name) as in ("queue", "crawling"). `app` names the
    ASGI application ("package.module:attribute") where the declaration says so. `scaling` has, by the name of the
    queue, what its workers are scaled by besides its latency.
    """

    name: str
    version: str
    owner: str
    app: str | None
    database: DatabaseSpec | None
    queues: tuple[QueueSpec, ...]
    jobs: tuple[JobSpec, ...]
    metrics: tuple[MetricSpec, ...]
    objectives: tuple[ObjectiveSpec, ...]
    alerts: tuple[AlertSpec, ...]
    checks: tuple[Check, ...]
    request_buckets: tuple[float, ...]
    places: Mapping[tuple[str, str], str]
    scaling: Mapping[str, Scaling]
    wait_buckets: tuple[float, ...] = DURATION_BUCKETS
    caches: tuple[CacheSpec, ...] = ()
    cdns: tuple[PurgedCdn, ...] = ()
    edges: tuple[EdgeSpec, ...] = ()
    fronts: tuple[FrontSpec, ...] = ()
    shedding: SheddingSpec | None = None
    secrets: tuple[SecretSpec, ...] = ()
    browsers: tuple[BrowsersSpec, ...] = ()
    cors: tuple[CorsSpec, ...] = ()
    hosts: tuple[HostsSpec, ...] = ()
    bounds: tuple[BoundsSpec, ...] = ()
    limits: tuple[LimitSpec, ...] = ()
    dependencies: tuple[DependencySpec, ...] = ()
    batches: tuple[BatchSpec, ...] = ()
    api_keys: tuple[ApiKeysSpec, ...] = ()
    panels: tuple[PanelSpec, ...] = ()
    tracing: TracingSpec | None = None
    error_reports: ErrorReportsSpec | None = None
    prices: PricesSpec | None = None
    meters: tuple[MeterSpec, ...] = ()
    lows: tuple[LowSpec, ...] = ()
    drifts: tuple[DriftSpec, ...] = ()
    activities: tuple[ActivitySpec, ...] = ()


class Service(Data, Work, Calls, Requests, Promises, Observing):
    """A service: what it needs and what it promises, under one name.

    `version` and `owner` appear in metrics and alerts. `app` names the ASGI application for `roadworthy serve`
    ("package.module:attribute"); without it, the one passed to `install` is served. `request_buckets` are the upper
    bounds in seconds of the HTTP duration histogram; by default OpenTelemetry's and every objective's.

    Raises `DeclarationError` where a value breaks its rule.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.0.0",
        owner: str = "",
        app: str | None = None,
        request_buckets: Sequence[float] | None = None,
    ) -> None:
        if not _SERVICE_NAME.fullmatch(name):
            raise DeclarationError(f"service name {name!r} must match [a-z][a-z0-9-]*; rename it")
        if app is not None and not re.fullmatch(r"[\w.]+:\w+", app):
            raise DeclarationError(f"service {name!r} has app={app!r}; write 'package.module:attribute'")
        if request_buckets is not None and (
            not request_buckets or list(request_buckets) != sorted(set(request_buckets)) or request_buckets[0] <= 0
        ):
            raise DeclarationError(f"service {name!r} needs request_buckets in strictly rising order, all above 0")
        self.name = name
        self.version = version
        self.owner = owner
        self.app = app
        self.place = declaring_place()
        self.installed_app: ASGIApp | None = None
        self._request_buckets = None if request_buckets is None else tuple(request_buckets)
        self.declared = Declared()
        self._resources: list[Resource[Any]] = []
        self._secrets: list[Secret] = []
        self._scaling: dict[str, Scaling] = {}
        self._binding: Binding | None = None

    def __repr__(self) -> str:
        return f"Service({self.name!r}, version={self.version!r})"

    @property
    def spec(self) -> ServiceSpec:
        """Everything declared so far, frozen."""
        of = self.declared.of
        return ServiceSpec(
            name=self.name,
            version=self.version,
            owner=self.owner,
            app=self.app,
            database=next(iter(of("database")), None),
            queues=of("queue"),
            jobs=of("job"),
            metrics=of("metric"),
            objectives=of("objective"),
            alerts=of("alert"),
            checks=of("check"),
            request_buckets=self._buckets(of("objective")),
            places=dict(self.declared.places),
            scaling=dict(self._scaling),
            wait_buckets=_including(DURATION_BUCKETS, _thresholds(of("objective"), "job latency")),
            caches=of("cache"),
            cdns=of("cdn"),
            edges=of("edge"),
            fronts=of("front"),
            shedding=next(iter(of("shedding")), None),
            secrets=of("secret"),
            browsers=of("browsers"),
            cors=of("cors"),
            hosts=of("hosts"),
            bounds=of("bounds"),
            limits=of("limit"),
            dependencies=of("dependency"),
            batches=of("batch"),
            api_keys=of("api_keys"),
            panels=of("panel"),
            tracing=next(iter(of("tracing")), None),
            error_reports=next(iter(of("error reports")), None),
            prices=next(iter(of("prices")), None),
            meters=of("meter"),
            lows=of("low"),
            drifts=of("drift"),
            activities=of("activity"),
        )

    def _buckets(self, objectives: Sequence[ObjectiveSpec]) -> tuple[float, ...]:
        if self._request_buckets is not None:
            return self._request_buckets
        return _including(LATENCY_BUCKETS, _thresholds(objectives, "latency"))

    async def audit(
        self,
        action: str,
        subject: str = "",
        *,
        actor: str | None = None,
        origin: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Note in the audit who does what to what, in the current transaction; nobody can change it there.

        `action` is words in dots, as in "site.delete", `subject` what it is done to, `actor` who does it, by default
        the API key of the current request, `origin` the address that it was asked for from, `detail` whatever else
        matters, in which values under telling names are masked. The current request's id is noted with it.
        """
        pool = self.binding("the audit").pool
        await audit.record(pool, action, subject, actor=actor, origin=origin, detail=detail)

    def install(self, app: ASGIApp) -> ASGIApp:
        """Wrap an ASGI application in the HTTP stack, and remember it as the one that this service serves."""
        from roadworthy.http.stack import install

        self.installed_app = install(app, self)
        return self.installed_app

    def running(self, settings: Settings | None = None) -> AbstractAsyncContextManager[Service]:
        """Bind the handles within an `async with`, migrations applied; `settings` are the environment's by default."""
        from roadworthy.runtime.lifecycle import running

        return running(self, settings)

    @property
    def bound(self) -> bool:
        """Whether the service's handles can be used now."""
        return self._binding is not None

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every value of a declared secret that counts now, for what must not be told to be found in texts."""
        return tuple(value for secret in self._secrets if secret.is_open for value in secret.values)

    @property
    def draining(self) -> bool:
        """Whether the process that serves requests is on its way out, so that a long stream should end itself."""
        return bool(getattr(self.installed_app, "draining", False))

    async def health(self) -> Mapping[str, Any]:
        """Return what `/health` tells on the operations port of this process, for a page of an operator's.

        Raises NotRunning in a process that serves no application.
        """
        if self.installed_app is None or self._binding is None:
            raise NotRunning("the health report")
        report: Mapping[str, Any] = await getattr(self.installed_app, "health").report(patience=None)  # noqa: B009 (the HTTP stack's, which this module does not import)
        return report

    def binding(self, handle: str) -> Binding:
        """Return what the handles are bound to, or raise `NotRunning` naming `handle`."""
        if self._binding is None:
            raise NotRunning(handle)
        return self._binding

    @asynccontextmanager
    async def bind(self, binding: Binding, *, resources: bool = True) -> AsyncIterator[Service]:
        """Bind the handles for the time of an `async with`, and open the resources; the runtime calls it."""
        if self._binding is not None:
            raise DeclarationError(f"service {self.name!r} is already running in this process; run it once at a time")
        self._binding = binding
        self.declared.closed = True
        try:
            async with AsyncExitStack() as stack:
                for secret in self._secrets:
                    stack.enter_context(secret.opened(os.environ))
                for resource in self._resources if resources else ():
                    await stack.enter_async_context(resource.opened())
                yield self
        finally:
            self._binding = None
            self.declared.closed = False


def _thresholds(objectives: Sequence[ObjectiveSpec], kind: ObjectiveKind) -> set[float]:
    """Return the times in seconds that objectives of a kind promise, but of a service's own histograms."""
    return {one.under.total_seconds() for one in objectives if one.under and one.kind == kind and one.metric is None}


def _including(bounds: Sequence[float], thresholds: set[float]) -> tuple[float, ...]:
    """Return a histogram's bounds with the thresholds, and one above the highest: who is slower shows, too."""
    found = {*bounds, *thresholds}
    if thresholds and max(thresholds) == max(found):
        found.add(2 * max(found))
    return tuple(sorted(found))
