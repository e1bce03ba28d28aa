"""Declare what a service needs and promises; run it hardened, with everything operations needs derived from it."""

from roadworthy._version import __version__
from roadworthy.bridge import from_thread
from roadworthy.cache.caches import CacheStatistics
from roadworthy.cache.lease import Lease
from roadworthy.database.queries import load_queries
from roadworthy.duration import days, hours, minutes, seconds
from roadworthy.edge.cdn import cloudflare, cloudfront, fastly, varnish
from roadworthy.edge.spec import immutable, private, secret, shared
from roadworthy.edge.tags import edge_tags
from roadworthy.errors import (
    AlreadyRunning,
    BreakerOpen,
    BulkheadFull,
    CallThrottled,
    DatabaseUnavailable,
    DeadlineExceeded,
    DeclarationError,
    DependencyFailed,
    EgressRefused,
    EncryptionKeyMissing,
    InvalidArguments,
    InvalidFilter,
    InvalidKey,
    InvalidPurge,
    InvalidResult,
    InvalidTransition,
    InvalidValue,
    JobNotFound,
    JobProcessDied,
    KeyNotAnswered,
    KeyNotFound,
    KeyRefused,
    LeaseLost,
    LockNotAcquired,
    MigrationError,
    MissingExtra,
    NoResult,
    NotRunning,
    PrometheusUnavailable,
    PurgeFailed,
    RateLimited,
    RoadworthyError,
    SettingError,
    SignatureRefused,
    SourceCancelled,
    SourceTimeout,
    TransactionEnded,
    UniqueKeyTaken,
    WorkerStuck,
    WrongThread,
)
from roadworthy.handles.api_keys import ApiKeys
from roadworthy.handles.cache import Cache
from roadworthy.handles.database import Database
from roadworthy.handles.dead_letters import DeadLetters
from roadworthy.handles.dependency import Batch, Dependency
from roadworthy.handles.jobs import Job, Queue
from roadworthy.handles.limit import RateLimit
from roadworthy.handles.lock import Lock
from roadworthy.handles.metrics import Counter, Gauge, Histogram
from roadworthy.handles.purge import Cdns
from roadworthy.handles.resource import Resource
from roadworthy.handles.secret import Secret
from roadworthy.handles.url_check import url_check
from roadworthy.handles.workflows import Workflow
from roadworthy.health.policy import Reading
from roadworthy.jobs.control import GiveUp, Snooze
from roadworthy.jobs.current import CurrentJob, FinishedJob, current_job
from roadworthy.jobs.dead_letters import DeadFilter
from roadworthy.jobs.flows import WorkflowState
from roadworthy.jobs.limits import Limit, Rate, per_hour, per_minute, per_second
from roadworthy.jobs.spec import Backoff
from roadworthy.limits.decision import Decision
from roadworthy.limits.quota import Quota
from roadworthy.objectives.spec import AlertExample
from roadworthy.resilience.breaker_spec import BreakerSpec as Breaker
from roadworthy.resilience.bulkhead import BulkheadSpec as Bulkhead
from roadworthy.resilience.deadline import deadline_headers, time_left
from roadworthy.resilience.fallback import Answer, constant, last_known
from roadworthy.resilience.hedging import HedgeSpec as Hedge
from roadworthy.resilience.retry import RetrySpec as Retry
from roadworthy.resilience.throttle import ThrottleSpec as Throttle
from roadworthy.scaling.spec import Policy as ScalingPolicy
from roadworthy.scaling.spec import Resources, Scaling
from roadworthy.scaling.spec import down as scale_down
from roadworthy.scaling.spec import up as scale_up
from roadworthy.security.content_policy import ContentPolicy, inline
from roadworthy.security.keys import IssuedKey, KeyRecord
from roadworthy.security.presented import ApiKey
from roadworthy.service import Service, ServiceSpec

__all__ = [
    "AlertExample",
    "AlreadyRunning",
    "Answer",
    "ApiKey",
    "ApiKeys",
    "Backoff",
    "Batch",
    "Breaker",
    "BreakerOpen",
    "Bulkhead",
    "BulkheadFull",
    "Cache",
    "CacheStatistics",
    "CallThrottled",
    "Cdns",
    "ContentPolicy",
    "Counter",
    "CurrentJob",
    "Database",
    "DatabaseUnavailable",
    "DeadFilter",
    "DeadLetters",
    "DeadlineExceeded",
    "Decision",
    "DeclarationError",
    "Dependency",
    "DependencyFailed",
    "EgressRefused",
    "EncryptionKeyMissing",
    "FinishedJob",
    "Gauge",
    "GiveUp",
    "Hedge",
    "Histogram",
    "InvalidArguments",
    "InvalidFilter",
    "InvalidKey",
    "InvalidPurge",
    "InvalidResult",
    "InvalidTransition",
    "InvalidValue",
    "IssuedKey",
    "Job",
    "JobNotFound",
    "JobProcessDied",
    "KeyNotAnswered",
    "KeyNotFound",
    "KeyRecord",
    "KeyRefused",
    "Lease",
    "LeaseLost",
    "Limit",
    "Lock",
    "LockNotAcquired",
    "MigrationError",
    "MissingExtra",
    "NoResult",
    "NotRunning",
    "PrometheusUnavailable",
    "PurgeFailed",
    "Queue",
    "Quota",
    "Rate",
    "RateLimit",
    "RateLimited",
    "Reading",
    "Resource",
    "Resources",
    "Retry",
    "RoadworthyError",
    "Scaling",
    "ScalingPolicy",
    "Secret",
    "Service",
    "ServiceSpec",
    "SettingError",
    "SignatureRefused",
    "Snooze",
    "SourceCancelled",
    "SourceTimeout",
    "Throttle",
    "TransactionEnded",
    "UniqueKeyTaken",
    "WorkerStuck",
    "Workflow",
    "WorkflowState",
    "WrongThread",
    "__version__",
    "cloudflare",
    "cloudfront",
    "constant",
    "current_job",
    "days",
    "deadline_headers",
    "edge_tags",
    "fastly",
    "from_thread",
    "hours",
    "immutable",
    "inline",
    "last_known",
    "load_queries",
    "minutes",
    "per_hour",
    "per_minute",
    "per_second",
    "private",
    "scale_down",
    "scale_up",
    "seconds",
    "secret",
    "shared",
    "time_left",
    "url_check",
    "varnish",
]
