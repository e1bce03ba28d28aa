"""The declaration: a Service, and the handles that its code uses.

Declaring does no I/O. Each call validates what it is given, records a frozen spec with the place it was written at, and
returns a handle. A handle works while the service runs and raises `NotRunning` otherwise.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from roadworthy.database.spec import DatabaseSpec
from roadworthy.duration import minutes, seconds
from roadworthy.errors import DeclarationError, NotRunning
from roadworthy.jobs.arguments import Arguments, UniqueKey
from roadworthy.jobs.engine import NewJob
from roadworthy.jobs.enqueue import new_job
from roadworthy.jobs.spec import Backoff, JobSpec, QueueSpec
from roadworthy.objectives.spec import AlertSpec, ObjectiveSpec, Severity
from roadworthy.telemetry.spec import LATENCY_BUCKETS, Kind, MetricSpec, service_labels

if TYPE_CHECKING:
    from roadworthy.binding import Binding
    from roadworthy.database.driver import Connection, Record
    from roadworthy.database.pool import Pool
    from roadworthy.runtime.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

_SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]*")
_PACKAGE_DIRECTORY = str(Path(__file__).parent)

ASGIApp = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """Everything that a service declares, for `check` and whatever is generated from it.

    `places` says where each was declared ("path:line"), by (kind, name) as in ("queue", "crawling"). `app` names the
    ASGI application ("package.module:attribute") where the declaration says so.
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
    request_buckets: tuple[float, ...]
    places: Mapping[tuple[str, str], str]


@dataclass(slots=True)
class _Declared:
    """What has been declared so far, in order; once `closed`, a declaration would never take effect, and is refused."""

    specs: dict[tuple[str, str], Any] = field(default_factory=dict)
    places: dict[tuple[str, str], str] = field(default_factory=dict)
    closed: bool = False

    def check_open(self, what: str) -> None:
        if self.closed:
            raise DeclarationError(
                f"{_declaring_place()}: {what} is declared while the service runs; declare it in a module that is "
                "imported before, such as the one that makes the Service"
            )

    def add(self, kind: str, spec: Any) -> None:
        self.check_open(f"{kind} {spec.name!r}")
        key = (kind, spec.name)
        place = _declaring_place()
        if key in self.places:
            raise DeclarationError(
                f"{place}: {kind} {spec.name!r} is already declared at {self.places[key]}; rename one of them"
            )
        self.specs[key] = spec
        self.places[key] = place

    def of(self, kind: str) -> tuple[Any, ...]:
        return tuple(spec for (declared, _), spec in self.specs.items() if declared == kind)


class Service:
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
        self.place = _declaring_place()
        self.installed_app: ASGIApp | None = None
        self._request_buckets = None if request_buckets is None else tuple(request_buckets)
        self._declared = _Declared()
        self._resources: list[Resource[Any]] = []
        self._binding: Binding | None = None

    def __repr__(self) -> str:
        return f"Service({self.name!r}, version={self.version!r})"

    @property
    def spec(self) -> ServiceSpec:
        """Everything declared so far, frozen."""
        of = self._declared.of
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
            request_buckets=self._buckets(of("objective")),
            places=dict(self._declared.places),
        )

    def _buckets(self, objectives: Sequence[ObjectiveSpec]) -> tuple[float, ...]:
        if self._request_buckets is not None:
            return self._request_buckets
        thresholds = {
            objective.under.total_seconds() for objective in objectives if objective.under and objective.metric is None
        }
        bounds = {*LATENCY_BUCKETS, *thresholds}
        if thresholds and max(thresholds) == max(bounds):
            bounds.add(2 * max(bounds))
        return tuple(sorted(bounds))

    def database(
        self, name: str = "main", *, migrations: str | Path | None = None, pool: tuple[int, int] = (1, 10)
    ) -> Database:
        """Declare a PostgreSQL database.

        `migrations` is the directory of its `.sql` files, relative to the declaring module. `pool` is the smallest and
        largest number of connections of each process. The database also keeps the jobs, declared or not.
        """
        directory = None if migrations is None else _declaring_directory() / migrations
        spec = DatabaseSpec(name, directory, pool)
        if existing := self._declared.of("database"):
            raise DeclarationError(
                f"{_declaring_place()}: database {name!r} is the second one, after {existing[0].name!r}; a service has "
                "one, whose transactions also carry its jobs. Use a schema of its own for what should stand apart"
            )
        self._declared.add("database", spec)
        return Database(self, spec)

    def queue(
        self,
        name: str,
        *,
        attempts: int = 5,
        lease: timedelta = minutes(1),
        workers: int | tuple[int, int] = (1, 1),
        concurrency: int = 10,
        target_latency: timedelta = seconds(30),
        backoff: Backoff | None = None,
        scale_in_after: timedelta = minutes(5),
    ) -> Queue:
        """Declare a queue of jobs.

        `attempts` is how often a job is tried before it goes to the dead letters, `lease` how long a claim lasts when a
        worker no longer renews it, `workers` the number of worker processes or its bounds, `concurrency` how many jobs
        one of them runs at once, `target_latency` in what time a job should start, `backoff` how long a failed
        one waits, `scale_in_after` how long fewer workers must have been enough before one goes.
        """
        bounds = (workers, workers) if isinstance(workers, int) else workers
        backoff = backoff or Backoff()
        spec = QueueSpec(name, attempts, lease, bounds, concurrency, target_latency, backoff, scale_in_after)
        self._declared.add("queue", spec)
        return Queue(self, spec)

    def counter(self, name: str, help: str, *, labels: Mapping[str, Iterable[str] | None] | None = None) -> Counter:
        """Declare a counter. `labels` gives each label's allowed values, or None to leave them open (at most 100)."""
        return Counter(self, self._metric(name, "counter", help, labels))

    def gauge(self, name: str, help: str, *, labels: Mapping[str, Iterable[str] | None] | None = None) -> Gauge:
        """Declare a gauge. `labels` as for `counter`."""
        return Gauge(self, self._metric(name, "gauge", help, labels))

    def histogram(
        self,
        name: str,
        help: str,
        *,
        labels: Mapping[str, Iterable[str] | None] | None = None,
        buckets: Sequence[float] = LATENCY_BUCKETS,
    ) -> Histogram:
        """Declare a histogram. `buckets` are its upper bounds in the unit of its name; `labels` as for `counter`."""
        return Histogram(self, self._metric(name, "histogram", help, labels, tuple(buckets)))

    def _metric(
        self,
        name: str,
        kind: Kind,
        help: str,
        labels: Mapping[str, Iterable[str] | None] | None,
        buckets: tuple[float, ...] = (),
    ) -> MetricSpec:
        allowed = {key: None if values is None else tuple(values) for key, values in (labels or {}).items()}
        spec = MetricSpec(name, kind, help, service_labels(name, allowed), buckets)
        self._declared.add("metric", spec)
        return spec

    def slo(
        self,
        name: str,
        *,
        objective: float,
        under: timedelta | None = None,
        route: str | None = None,
        metric: str | None = None,
    ) -> None:
        """Promise that a share `objective` of requests succeeds or, with `under`, is answered within that time.

        `route` ("GET /search") narrows it to one route. `metric` names a histogram in seconds to measure instead of
        HTTP's.
        """
        self._declared.add("objective", ObjectiveSpec(name, objective, under, route, metric))

    def alert(
        self,
        name: str,
        *,
        expr: str,
        severity: Severity,
        runbook: str,
        for_: timedelta = timedelta(0),
        summary: str | None = None,
    ) -> None:
        """Declare an alert: tell people when the PromQL `expr` has been true for `for_`.

        `severity` is `critical`, `warning` or `business`; `runbook` says what to look at first.
        """
        self._declared.add("alert", AlertSpec(name, expr, for_, severity, runbook, summary or name))

    def resource(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> Resource[T]:
        """Declare something of the service's own that each process opens when it starts and closes when it stops.

        `open` makes its async context manager, as for a pool of HTTP connections; the handle's `value` is what that
        yields.
        """
        self._declared.check_open(f"resource {open.__name__!r}")
        resource = Resource(self, open)
        self._resources.append(resource)
        return resource

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
    def draining(self) -> bool:
        """Whether the process that serves requests is on its way out, so that a long stream should end itself."""
        return bool(getattr(self.installed_app, "draining", False))

    def binding(self, handle: str) -> Binding:
        """Return what the handles are bound to, or raise `NotRunning` naming `handle`."""
        if self._binding is None:
            raise NotRunning(handle)
        return self._binding

    @asynccontextmanager
    async def bind(self, binding: Binding) -> AsyncIterator[Service]:
        """Bind the handles for the time of an `async with`; the runtime calls it."""
        if self._binding is not None:
            raise DeclarationError(f"service {self.name!r} is already running in this process; run it once at a time")
        self._binding = binding
        self._declared.closed = True
        try:
            async with AsyncExitStack() as stack:
                for resource in self._resources:
                    await stack.enter_async_context(resource.opened())
                yield self
        finally:
            self._binding = None
            self._declared.closed = False


class Database:
    """The handle of a PostgreSQL database; statements join the transaction that the calling task is in."""

    def __init__(self, service: Service, spec: DatabaseSpec) -> None:
        """Declared with `Service.database`."""
        self.spec = spec
        self._service = service

    @property
    def pool(self) -> Pool:
        """The pool behind the handle."""
        return self._service.binding(f"database {self.spec.name!r}").pool

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction, or a savepoint inside one; it commits unless the block raises."""
        return self.pool.transaction()

    def acquire(self) -> AbstractAsyncContextManager[Connection]:
        """Borrow a connection outside any transaction."""
        return self.pool.acquire()

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        """Run a statement and return its rows."""
        return await self.pool.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> Record | None:
        """Run a statement and return its first row, or None."""
        return await self.pool.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        """Run a statement and return the first value of its first row, or None."""
        return await self.pool.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> str:
        """Run a statement and return its status, as in "UPDATE 3"."""
        return await self.pool.execute(sql, *arguments)


class Queue:
    """The handle of a queue: its `job` makes a function one of its jobs."""

    def __init__(self, service: Service, spec: QueueSpec) -> None:
        """Declared with `Service.queue`."""
        self.spec = spec
        self._service = service

    def job(
        self,
        *,
        unique: str | None = None,
        timeout: timedelta | None = None,
        priority: int = 0,
        every: timedelta | None = None,
        cron: str | None = None,
        attempts: int | None = None,
    ) -> Callable[[Callable[P, Awaitable[None]]], Job[P]]:
        """Make an async function a job of this queue.

        `unique` is a template over its arguments ("{url}"): while a job with that key waits or runs, another is not
        added. `timeout` ends one attempt. A lower `priority` runs first. `every` or `cron` (five fields, UTC) make it
        repeat, once per fire time however many schedulers run. `attempts` overrides the queue's.
        """

        def declare(function: Callable[P, Awaitable[None]]) -> Job[P]:
            arguments = Arguments.of(function)
            spec = JobSpec(
                name=function.__name__,
                queue=self.spec.name,
                function=function,
                arguments=arguments,
                unique=None if unique is None else UniqueKey(unique, arguments),
                timeout=timeout,
                priority=priority,
                every=every,
                cron=cron,
                attempts=self.spec.attempts if attempts is None else attempts,
            )
            self._service._declared.add("job", spec)
            return Job(self._service, spec)

        return declare


@dataclass(frozen=True, slots=True)
class EnqueueOptions:
    """How the next enqueue differs from the job's declaration."""

    delay: timedelta | None = None
    run_at: datetime | None = None
    priority: int | None = None
    connection: Connection | None = None


class Job(Generic[P]):
    """The handle of a job. Calling it runs the function here and now; `enqueue` has a worker run it."""

    def __init__(self, service: Service, spec: JobSpec, options: EnqueueOptions | None = None) -> None:
        """Declared with `Queue.job`."""
        self.spec = spec
        self._service = service
        self._options = options or EnqueueOptions()

    @property
    def name(self) -> str:
        """The job's name, its function's."""
        return self.spec.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[None]:
        """Run the function directly, as in a test."""
        return self.spec.function(*args, **kwargs)

    def with_options(
        self,
        *,
        delay: timedelta | None = None,
        run_at: datetime | None = None,
        priority: int | None = None,
        connection: Connection | None = None,
    ) -> Job[P]:
        """Return this job with other options for `enqueue`.

        `delay` counts from the database's now; `run_at` is a moment with a time zone. `connection` is one whose
        transaction is to carry the job, where that is not the calling task's current one.
        """
        if run_at is not None and run_at.tzinfo is None:
            raise ValueError(f"run_at={run_at.isoformat()} has no time zone; pass one, as in datetime.now(UTC)")
        if delay is not None and run_at is not None:
            raise ValueError("delay= and run_at= both say when; pass one of them")
        if delay is not None and delay < timedelta(0):
            raise ValueError(f"delay={delay} is negative; pass a duration of 0 or more")
        return Job(
            self._service,
            self.spec,
            replace(self._options, delay=delay, run_at=run_at, priority=priority, connection=connection),
        )

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> int | None:
        """Add the job, in the transaction that the calling task is in; it runs once that has committed.

        Return its id, or None where a job with the same unique key waits or runs already. Raise `InvalidArguments`
        where the function does not take the arguments.
        """
        (id,) = await self._add([self._new(self.spec.arguments.bind(*args, **kwargs))])
        return id

    async def enqueue_many(self, arguments: Iterable[Mapping[str, Any]]) -> list[int | None]:
        """Add one job for each mapping of arguments, in one statement; return ids as `enqueue` does, in order."""
        return await self._add([self._new(self.spec.arguments.bind(**one)) for one in arguments])

    def _new(self, bound: dict[str, Any]) -> NewJob:
        options = self._options
        return new_job(self.spec, bound, priority=options.priority, delay=options.delay, run_at=options.run_at)

    async def _add(self, jobs: list[NewJob]) -> list[int | None]:
        binding = self._service.binding(f"job {self.spec.name!r}")
        connection: Any = self._options.connection
        if connection is not None:
            return await binding.engine.enqueue(jobs, connection=connection)
        return await binding.engine.enqueue(jobs)


class Resource(Generic[T]):
    """The handle of something of the service's own that lives as long as its process runs the service."""

    def __init__(self, service: Service, open: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        """Declared with `Service.resource`."""
        self._service = service
        self._open = open
        self._opened: list[T] = []

    @property
    def value(self) -> T:
        """What was opened."""
        if not self._opened:
            raise NotRunning(f"resource {self._open.__name__!r}")
        return self._opened[-1]

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[T]:
        """Open it for the time of an `async with`; the runtime calls it."""
        async with self._open() as value:
            self._opened.append(value)
            try:
                yield value
            finally:
                self._opened.remove(value)


class Counter:
    """The handle of a counter."""

    def __init__(self, service: Service, spec: MetricSpec) -> None:
        """Declared with `Service.counter`."""
        self.spec = spec
        self._service = service

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Add `amount`, which must not be negative, under the given labels."""
        _child(self._service, self.spec, labels).inc(amount)


class Gauge:
    """The handle of a gauge."""

    def __init__(self, service: Service, spec: MetricSpec) -> None:
        """Declared with `Service.gauge`."""
        self.spec = spec
        self._service = service

    def set(self, value: float, **labels: str) -> None:
        """Set the value under the given labels."""
        _child(self._service, self.spec, labels).set(value)

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Add `amount`, which may be negative, under the given labels."""
        _child(self._service, self.spec, labels).inc(amount)


class Histogram:
    """The handle of a histogram."""

    def __init__(self, service: Service, spec: MetricSpec) -> None:
        """Declared with `Service.histogram`."""
        self.spec = spec
        self._service = service

    def observe(self, value: float, **labels: str) -> None:
        """Count one observation, in the unit of the histogram's name."""
        _child(self._service, self.spec, labels).observe(value)


def _child(service: Service, spec: MetricSpec, labels: dict[str, str]) -> Any:
    bound = service.binding(f"metric {spec.name!r}").metrics.bound(spec)
    if labels.keys() != set(spec.label_names):
        takes = ", ".join(spec.label_names) or "no labels"
        raise ValueError(f"metric {spec.name!r} takes {takes}, but was given {', '.join(labels) or 'none'}")
    return bound.labels(*(labels[name] for name in spec.label_names))


def _declaring_frame() -> Any:
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE_DIRECTORY):
        frame = frame.f_back
    return frame


def _declaring_place() -> str:
    frame = _declaring_frame()
    path = Path(frame.f_code.co_filename)
    try:
        path = path.relative_to(Path.cwd())
    except ValueError:
        return f"{path}:{frame.f_lineno}"
    return f"{path}:{frame.f_lineno}"


def _declaring_directory() -> Path:
    return Path(_declaring_frame().f_code.co_filename).parent
