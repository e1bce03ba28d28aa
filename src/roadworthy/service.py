"""The declaration: a Service, and the handles that its code uses.

Declaring does no I/O. Each call validates what it is given, records a frozen spec with the place it was written at, and
returns a handle. A handle works while the service runs and raises `NotRunning` otherwise.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from roadworthy.cache.spec import CacheSpec, Tier
from roadworthy.database.spec import DatabaseSpec
from roadworthy.declaration import Declared, declaring_directory, declaring_place
from roadworthy.duration import days, hours, minutes, seconds
from roadworthy.edge.cdn import Cdn as PurgedCdn
from roadworthy.edge.spec import RESPONSES, EdgeSpec, FrontSpec
from roadworthy.edge.spec import Policy as EdgePolicy
from roadworthy.edge.tags import Front
from roadworthy.errors import DeclarationError, NotRunning
from roadworthy.handles.api_keys import ApiKeys
from roadworthy.handles.cache import Cache
from roadworthy.handles.database import Database
from roadworthy.handles.dead_letters import DeadLetters
from roadworthy.handles.dependency import Batch, Dependency
from roadworthy.handles.jobs import Queue
from roadworthy.handles.limit import RateLimit
from roadworthy.handles.lock import Lock
from roadworthy.handles.metrics import Counter, Gauge, Histogram
from roadworthy.handles.purge import Cdns
from roadworthy.handles.resource import Resource
from roadworthy.handles.secret import Secret
from roadworthy.handles.workflows import Workflow
from roadworthy.health.spec import RESERVED, Check, Observe
from roadworthy.jobs.flows import OnTaken, WorkflowState
from roadworthy.jobs.limits import Limit
from roadworthy.jobs.spec import Backoff, JobSpec, QueueSpec
from roadworthy.limits.quota import Algorithm
from roadworthy.limits.spec import KEYS, LEASE, STORE_TIMEOUT, By, LimitSpec, OnError, quotas_of
from roadworthy.limits.spec import Rate as LimitRate
from roadworthy.objectives.spec import AlertExample, AlertSpec, ObjectiveSpec, Severity
from roadworthy.resilience.batching import BatchSpec, Load
from roadworthy.resilience.breaker_spec import BreakerSpec
from roadworthy.resilience.bulkhead import BulkheadSpec
from roadworthy.resilience.exceptions import Exceptions
from roadworthy.resilience.hedging import HedgeSpec
from roadworthy.resilience.retry import RetrySpec
from roadworthy.resilience.shedding_spec import SheddingSpec
from roadworthy.resilience.spec import BREAKER, RETRY, DependencySpec
from roadworthy.resilience.throttle import ThrottleSpec
from roadworthy.scaling.spec import Scaling
from roadworthy.security import audit
from roadworthy.security.bounds import ANY, BoundsSpec, HostsSpec
from roadworthy.security.browsers import BrowsersSpec, Opener, Reach, Referrer
from roadworthy.security.content_policy import ContentPolicy
from roadworthy.security.cross_origin import METHODS, CorsSpec
from roadworthy.security.keys_spec import ApiKeysSpec, guarded_of, header_of
from roadworthy.security.secrets import SecretSpec
from roadworthy.telemetry.spec import LATENCY_BUCKETS, Kind, MetricSpec, service_labels

if TYPE_CHECKING:
    from roadworthy.binding import Binding
    from roadworthy.database.driver import Connection
    from roadworthy.runtime.settings import Settings

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]*")

_SCALE_IN_AFTER = minutes(5)

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
        directory = None if migrations is None else declaring_directory() / migrations
        spec = DatabaseSpec(name, directory, pool)
        if existing := self.declared.of("database"):
            raise DeclarationError(
                f"{declaring_place()}: database {name!r} is the second one, after {existing[0].name!r}; a service has "
                "one, whose transactions also carry its jobs. Use a schema of its own for what should stand apart"
            )
        self.declared.add("database", spec)
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
        scale_in_after: timedelta = _SCALE_IN_AFTER,
        timeout: timedelta | None = None,
        limits: Sequence[Limit] = (),
        scaling: Scaling | None = None,
        keep_dead: timedelta | None = None,
    ) -> Queue:
        """Declare a queue of jobs.

        `attempts` is how often a job is tried before it goes to the dead letters, `lease` how long a claim lasts when a
        worker no longer renews it, `workers` the number of worker processes or its bounds, `concurrency` how many jobs
        one of them runs at once, `target_latency` in what time a job should start, `backoff` how long a failed
        one waits, `scale_in_after` how long fewer workers must have been enough before one goes, `timeout` what ends an
        attempt of any job that declares none of its own, `limits` how many of its jobs run at once and begin in a time,
        over all processes, `scaling` by what else the number of workers goes than by the latency, `keep_dead` for how
        long dead letters are kept, for ever without.
        """
        bounds = (workers, workers) if isinstance(workers, int) else workers
        backoff = backoff or Backoff()
        spec = QueueSpec(
            name,
            attempts,
            lease,
            bounds,
            concurrency,
            target_latency,
            backoff,
            scale_in_after,
            timeout=timeout,
            limits=tuple(limits),
            keep_dead=keep_dead,
        )
        if scaling is not None:
            _check_scaling(spec, scaling)
            self._scaling[name] = scaling
        self.declared.add("queue", spec)
        return Queue(self, spec)

    def purge_with(self, *cdns: PurgedCdn) -> Cdns:
        """Declare the CDNs before the service, made by `cloudflare`, `fastly`, `cloudfront` and `varnish`.

        Each process that runs the service can then have them let go of what they keep. Invalidating a tag of a cache
        also purges it there.
        """
        for cdn in cdns:
            self.declared.add("cdn", cdn)
        return Cdns(self, cdns)

    def cache(
        self,
        name: str,
        *,
        ttl: timedelta,
        stale: timedelta = timedelta(0),
        negative_ttl: timedelta | None = None,
        jitter: float = 0.1,
        early: float = 1.0,
        retry_after: timedelta = seconds(5),
        soft_timeout: timedelta | None = None,
        timeout: timedelta | None = None,
        lock: bool = True,
        tiers: Sequence[Tier] = ("memory", "shared"),
        entries: int = 10_000,
        bytes: int = 64 * 1024 * 1024,
        store_timeout: timedelta = seconds(0.25),
        compress_over: int | None = None,
    ) -> Cache:
        """Declare a cache, in the memory of each process and in a store that they share.

        A value is fresh for `ttl`, less up to the share `jitter`. For `stale` after that it is still served, while one
        caller refreshes it, and where its source fails, which is not asked again for `retry_after`. `negative_ttl` is
        the `ttl` of None. `early` has what was costly refreshed the sooner before its time, 0 for never.

        `soft_timeout` is how long a caller waits for the source where a stale value is at hand, by default not at all;
        `timeout` where none is, by default for ever. What comes later is kept. With `lock`, one process at a time asks
        the source for a key.

        The store is the Redis of `REDIS_URL`, else the service's database; `tiers` names "memory", "shared" or both.
        `entries` and `bytes` bound what a process keeps in memory, `store_timeout` bounds each exchange with the store,
        and values of more than `compress_over` encoded bytes are compressed there.
        """
        spec = CacheSpec(
            name,
            ttl,
            stale,
            negative_ttl,
            jitter,
            early,
            retry_after,
            soft_timeout,
            timeout,
            lock,
            tuple(tiers),
            entries,
            bytes,
            store_timeout,
            compress_over,
        )
        self.declared.add("cache", spec)
        return Cache(self, spec)

    def dependency(
        self,
        name: str,
        *,
        timeout: timedelta = seconds(5),
        total: timedelta | None = None,
        retry: RetrySpec | None = RETRY,
        breaker: BreakerSpec | None = BREAKER,
        concurrency: int | BulkheadSpec | None = None,
        throttle: ThrottleSpec | None = None,
        hedge: HedgeSpec | None = None,
        idempotent: bool = False,
        answers: Exceptions = (),
        critical: bool = False,
        check: Callable[[], Awaitable[object]] | None = None,
    ) -> Dependency:
        """Declare something that the service calls: another service, a server, whatever may be slow, broken or busy.

        `timeout` bounds an attempt, and `total` a call with all its attempts and waits, by default twice as long where
        it may be tried again. `retry` and `hedge`, a second attempt beside a slow one, are for calls that are said to
        be idempotent: all, where `idempotent` is. `breaker` leaves alone what fails too often, `throttle` asks less of
        what refuses much, `concurrency` bounds how many calls run at once. A policy that is None costs nothing.

        `answers` are exceptions that are an answer, such as that there is no such address: no failure, and not tried
        again. An open breaker is a warning in `/health`, and fails it where `critical`; so does what `check` raises.
        """
        bulkhead = BulkheadSpec(concurrency) if isinstance(concurrency, int) else concurrency
        spec = DependencySpec(
            name,
            timeout,
            total,
            retry,
            breaker,
            bulkhead,
            throttle,
            hedge,
            idempotent,
            answers,
            critical,
            check,
        )
        self.declared.add("dependency", spec)
        return Dependency(self, spec)

    def batched(
        self,
        *,
        size: int = 100,
        wait: timedelta = seconds(0.002),
        at_once: int = 4,
        pending: int = 10_000,
        timeout: timedelta = seconds(30),
        name: str | None = None,
    ) -> Callable[[Load[K, V]], Batch[K, V]]:
        """Make an async function that answers many keys one that is asked for each by itself.

        It is given up to `size` keys `wait` after the first was asked for, and returns a mapping by key, or a value for
        each in their order; an exception among these is raised for its key alone. `at_once` calls of it run at once,
        each for `timeout` at most, and `pending` keys may wait.
        """

        def declare(load: Load[K, V]) -> Batch[K, V]:
            spec = BatchSpec(name or load.__name__, load, size, wait, at_once, pending, timeout)
            self.declared.add("batch", spec)
            return Batch(self, spec)

        return declare

    def lock(self, name: str, *, lease: timedelta = seconds(30), wait: timedelta = seconds(10)) -> Lock:
        """Make a lock that one process at a time holds: an `async with`, which renews it meanwhile.

        It is kept in the store of the service's caches, of which there has to be one.

        A holder that dies gives it back after `lease`; others wait for it for `wait`, then LockNotAcquired is raised.
        It saves work that would be done twice, and is no proof against it: a process that stops for longer than
        `lease` does not know that another one has the lock. What must not happen twice, the database has to refuse.
        """
        return Lock(self, name, lease, wait)

    def limit(
        self,
        name: str,
        rate: LimitRate | Sequence[LimitRate],
        *,
        by: By = "address",
        routes: Sequence[str] = (),
        cost: int = 1,
        burst: int | None = None,
        algorithm: Algorithm = "gcra",
        on_error: OnError = "allow",
        lease: float = LEASE,
        store_timeout: timedelta = STORE_TIMEOUT,
        keys: int = KEYS,
        legacy_headers: bool = False,
        shadow: bool = False,
    ) -> RateLimit:
        """Declare a rate limit: how often something may happen for each key, over all processes.

        `rate` is a text ("100/minute", "5/15 minutes"), a preset a minute ("strict" 10, "standard" 100, "lenient" 500,
        "webhook" 1,000), a `Quota`, or several of them, of which all must admit. `burst` is how many may come at once
        after a pause, by default all; `algorithm` how they are counted, see `Quota`.

        `routes` are limited without being asked ("GET /search", "*" for all), for `cost` units a request; without any,
        the limit applies where code asks it. `by` is whose key a request has: "address", behind the trusted proxies;
        "api_key", a verified one, else the address; "user"; "route"; or a function of the ASGI scope that returns a
        text, None for a request that is not limited. With `by=None`, code gives the keys.

        It counts in the Redis of `REDIS_URL`, else in the service's database, else in each process's memory. `on_error`
        is what happens while that does not answer within `store_timeout`: "allow", "deny", or "local", which counts a
        share of the quota in each process, divided by their number.

        So that most decisions ask nobody, a process takes units ahead, as many as it will soon need and at most the
        share `lease` of what a key may have at once. In any stretch as long as the period, at most that many for each
        process are admitted beyond the quota's `most_in_period`: with "100/minute" and four processes, 40 by default.
        0 switches that off.

        `keys` is how many keys a process remembers, `legacy_headers` sends X-RateLimit-* too, and `shadow` decides and
        counts but refuses nobody.
        """
        if isinstance(routes, str):
            raise DeclarationError(f"limit {name!r} has routes={routes!r}; write a sequence, as in [{routes!r}]")
        spec = LimitSpec(
            name,
            quotas_of(name, rate, burst=burst, algorithm=algorithm),
            by,
            tuple(routes),
            cost,
            on_error,
            lease,
            store_timeout,
            keys,
            legacy_headers,
            shadow,
        )
        self.declared.add("limit", spec)
        return RateLimit(self, spec)

    def api_keys(
        self,
        name: str = "api",
        *,
        prefix: str,
        scopes: Sequence[str] = (),
        routes: Mapping[str, str | Sequence[str] | None] | None = None,
        header: str = "Authorization: Bearer",
        stale: timedelta = minutes(5),
        lifetime: timedelta | None = None,
    ) -> ApiKeys:
        """Declare API keys, which programs show to say who they are. They are kept in the database, as digests.

        `prefix` begins each key, so that people and scanners of leaked secrets know whose it is. `scopes` are what keys
        can be allowed to do. `routes` are those that ask for a key: "/api/*" for all below, "GET /api/items/{id}" for
        one, each with the scopes that the key must have, or None for any key; what several match, all of them hold.
        `header` is where a key is shown: "Authorization: Bearer", or a name such as "X-API-Key".

        `stale` is for how long a key that was verified works on while the database is away, `lifetime` for how long
        one does that is issued without its own.
        """
        if isinstance(scopes, str):
            raise DeclarationError(f"API keys {name!r} have scopes={scopes!r}; write a sequence, as in ({scopes!r},)")
        guarded = guarded_of(routes or {})
        spec = ApiKeysSpec(name, prefix, tuple(scopes), guarded, *header_of(header), stale, lifetime)
        for other in self.declared.of("api_keys"):
            if other.prefix == prefix:
                raise DeclarationError(
                    f"{declaring_place()}: API keys {name!r} have the prefix {prefix!r} of {other.name!r}; change it"
                )
        self.declared.add("api_keys", spec)
        return ApiKeys(self, spec)

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

    def workflow(
        self,
        name: str,
        *,
        keep: timedelta = days(7),
        on_taken: OnTaken = "refuse",
        connection: Connection | None = None,
    ) -> Workflow:
        """Begin a workflow: an `async with` in which jobs are added that wait for each other.

        It is remembered for `keep` at least, and until its members have ended. A member whose unique key another job
        has is an error, or with `on_taken="skip"` left out. `connection` is one whose transaction is to carry the jobs,
        where that is not the calling task's current one.
        """
        return Workflow(self, name, keep, on_taken, connection)

    async def find_workflow(self, id: int) -> WorkflowState | None:
        """Count the members of a workflow by state; None for one that is not known, or no longer."""
        return await self.binding(f"workflow {id}").engine.flows.workflow(id)

    async def cancel_workflow(self, id: int) -> int:
        """Cancel the members of a workflow that wait or run; return how many. Dead ones stay."""
        flows = self.binding(f"workflow {id}").engine.flows
        ended, asked = await flows.cancel(await flows.members(id))
        return ended + asked

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
        self.declared.add("metric", spec)
        return spec

    def slo(
        self,
        name: str,
        *,
        objective: float,
        under: timedelta | None = None,
        route: str | None = None,
        metric: str | None = None,
        minimum_events: int = 20,
    ) -> None:
        """Promise that a share `objective` of requests succeeds or, with `under`, is answered within that time.

        `route` ("GET /search") narrows it to one route. `metric` names a histogram in seconds to measure instead of
        HTTP's. The alerts on it want `minimum_events` in their window: one bad event of a few calls nobody.
        """
        self.declared.add("objective", ObjectiveSpec(name, objective, under, route, metric, minimum_events))

    def alert(
        self,
        name: str,
        *,
        expr: str,
        severity: Severity,
        runbook: str,
        for_: timedelta = timedelta(0),
        summary: str | None = None,
        example: AlertExample | None = None,
    ) -> None:
        """Declare an alert: tell people when the PromQL `expr` has been true for `for_`.

        `severity` is `critical`, `warning` or `business`; `runbook` says what to look at first. `example` has series
        with which it fires and others with which it does not, so that what is emitted can be tested.
        """
        self.declared.add("alert", AlertSpec(name, expr, for_, severity, runbook, summary or name, example))

    def check(
        self,
        name: str,
        *,
        critical: bool = False,
        readiness: bool = False,
        timeout: timedelta = seconds(1),
        every: timedelta = seconds(5),
        failures: int = 2,
        successes: int = 2,
        groups: Sequence[str] = (),
    ) -> Callable[[Observe], Observe]:
        """Make an async function a check of `/health`: it returns what it observed, or raises what is wrong.

        A failure, or no answer within `timeout`, is a warning, and fails the whole where `critical`. `readiness` opts
        the check into `/readyz`. It is looked at about `every` so often, in the background; `failures` looks in a row
        that fail are one failure, and as many as `successes` end it. The operations port tells of the checks in one of
        `groups` alone at `/health/GROUP`.

        It runs in each process that answers probes, the supervisor included, which opens no resources: look at the
        database. With an `every` of 0 it runs whenever it is asked for, which is for what is in the process's memory.
        """
        if name in RESERVED:
            raise DeclarationError(f"check {name!r} comes with every service; choose another name")
        if isinstance(groups, str):
            raise DeclarationError(f"check {name!r} has groups={groups!r}; write a sequence, as in ({groups!r},)")

        def declare(function: Observe) -> Observe:
            chosen = tuple(groups)
            check = Check(name, function, critical, readiness, timeout, every, failures, successes, chosen)
            self.declared.add("check", check)
            return function

        return declare

    def edge(self, what: str, policy: EdgePolicy, *, tags: Sequence[str] = (), cached: bool = False) -> None:
        """Declare what browsers and CDNs may keep: `immutable()`, `shared()`, `private()` or `secret()`.

        `what` is a route ("GET /search"), a media kind ("image/*") for responses of no declared route, or "*" for all
        others. Headers that the application sets itself stay. `tags` are templates over the path and query parameters
        ("site:{site}"), by which a CDN is told to let go of what it keeps; `edge_tags()` adds more. `cached` has the
        service's own HTTP cache keep it too.
        """
        if isinstance(tags, str):
            raise DeclarationError(f"edge {what!r} has tags={tags!r}; write a sequence, as in ({tags!r},)")
        self.declared.add("edge", EdgeSpec(what, policy, tuple(tags), cached))
        if cached and policy.edge is not None:
            self._keep_responses(policy.edge + max(policy.stale, policy.stale_if_error))

    def _keep_responses(self, lifetime: timedelta) -> None:
        """Have a cache that keeps responses for at least so long."""
        key = ("cache", RESPONSES)
        known: CacheSpec | None = self.declared.specs.get(key)
        if known is None:
            self.declared.add("cache", CacheSpec(RESPONSES, lifetime, jitter=0.0, early=0.0))
        elif known.ttl < lifetime:
            self.declared.specs[key] = replace(known, ttl=lifetime)

    def behind(self, name: Front, *, tag_header: str | None = None) -> None:
        """Declare that a CDN or proxy stands before the service, so that it gets its own form of tags and lifetimes.

        `name` is "cloudflare", "fastly", "cloudfront", "varnish" or "nginx"; those of `purge_with` are known already.
        `tag_header` is the header that a CloudFront distribution reads tags from, where that is not the usual one.
        """
        self.declared.add("front", FrontSpec(name, tag_header))

    def shedding(
        self,
        *,
        critical: Sequence[str] = (),
        low: Sequence[str] = (),
        slower: float = 1.4,
        initial: int = 20,
        most: int = 1000,
        retry_after: timedelta = seconds(2),
    ) -> None:
        """Declare that requests are turned away at once, with a 503, while there are more than can be answered.

        How many may be under way is found out by their latency: at the limit it is `slower` times the usual one.
        Routes in `low` ("GET /export") are turned away first, then others that read, those that write, and routes in
        `critical`; probes never. `initial` is the limit of a process before it knows better, `most` the highest it may
        find. Clients are told to come back after `retry_after` to twice that.
        """
        spec = SheddingSpec(tuple(critical), tuple(low), slower, initial, most, retry_after)
        self.declared.add("shedding", spec)

    @property
    def dead_letters(self) -> DeadLetters:
        """The service's dead jobs, to look at, retry or discard."""
        return DeadLetters(self)

    def resource(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> Resource[T]:
        """Declare something of the service's own that each process opens when it starts and closes when it stops.

        `open` makes its async context manager, as for a pool of HTTP connections; the handle's `value` is what that
        yields.
        """
        self.declared.check_open(f"resource {open.__name__!r}")
        resource = Resource(self, open)
        self._resources.append(resource)
        return resource

    def browsers(
        self,
        *,
        content: ContentPolicy | None = None,
        referrer: Referrer = "same-origin",
        opener: Opener = "same-origin",
        resource: Reach = "same-origin",
        permissions: Mapping[str, tuple[str, ...]] | None = None,
        strict_transport: timedelta = days(730),
        subdomains: bool = False,
        preload: bool = False,
        https: bool = False,
    ) -> None:
        """Declare what every response tells browsers, where the defaults do not fit; the application's own headers win.

        `content` is what a page may load, by default only what is the service's own, and no inline script. `referrer`,
        `opener` and `resource` are the values of Referrer-Policy, Cross-Origin-Opener-Policy and -Resource-Policy,
        `permissions` the origins that may use a power of the browser's. Over HTTPS, browsers insist on that for
        `strict_transport`, with `subdomains` there too; `preload` asks to be in their lists. `https` tells them so
        always, for a proxy that ends TLS and does not say it.
        """
        content = content or ContentPolicy()
        granted = permissions or {}
        self.declared.add(
            "browsers",
            BrowsersSpec(content, referrer, opener, resource, granted, strict_transport, subdomains, preload, https),
        )

    def cors(
        self,
        *origins: str | re.Pattern[str],
        path: str = "/",
        methods: Sequence[str] = METHODS,
        headers: Sequence[str] = (),
        expose: Sequence[str] = (),
        credentials: bool = False,
        max_age: timedelta = hours(1),
    ) -> None:
        """Declare whose pages may read what begins with `path`; pages of the service's own always may.

        `origins` are exact, "https://*.example.org", an anchored pattern, or "*" alone and without `credentials`.
        `methods` and `headers` are those that such a page may use, `expose` the response headers that it may read,
        `max_age` for how long a browser remembers.
        """
        spec = CorsSpec(path, origins, tuple(methods), tuple(headers), tuple(expose), credentials, max_age)
        self.declared.add("cors", spec)

    def hosts(self, *names: str) -> None:
        """Declare the hosts that the service answers for, as "api.example.org" or "*.example.org"; others get a 400."""
        self.declared.add("hosts", HostsSpec(names))

    def bounds(
        self,
        what: str = ANY,
        *,
        body: int | None = None,
        depth: int | None = None,
        deadline: timedelta | None = None,
    ) -> None:
        """Declare what a request may be and take, of a route ("POST /uploads") or of all others.

        `body` is the most bytes of its body (1 MiB), `depth` how deeply its JSON may be nested (64), `deadline` the
        time until the response begins (30 s), 0 for any. A stream that has begun goes on.
        """
        self.declared.add("bounds", BoundsSpec(what, body, depth, deadline))

    def secret(
        self,
        name: str,
        *,
        min_bytes: int = 32,
        required: bool = True,
        several: bool = False,
        overlap: timedelta = timedelta(0),
        purpose: str = "",
    ) -> Secret:
        """Declare a secret, in the environment's variable `name` or in the file that `name`_FILE has the path of.

        The service refuses to start where it has fewer than `min_bytes`, could be guessed, or is `required` and not
        set. With `several`, a comma separates secrets that all count, the current one first. A file that changes is
        followed without a restart, and what it held before counts for `overlap`.
        """
        spec = SecretSpec(name, min_bytes, required, several, overlap, purpose)
        self.declared.add("secret", spec)
        secret = Secret(spec)
        self._secrets.append(secret)
        return secret

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


def _check_scaling(queue: QueueSpec, scaling: Scaling) -> None:
    fewest, most = queue.workers
    if fewest == most:
        raise DeclarationError(
            f"queue {queue.name!r} has scaling= but workers={most}; give it bounds, as in (1, {most})"
        )
    if scaling.down is not None and queue.scale_in_after != _SCALE_IN_AFTER:
        raise DeclarationError(
            f"queue {queue.name!r} has scale_in_after= and rules downwards; say it in their window= alone"
        )
