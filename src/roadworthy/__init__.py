"""Declare what a service needs and promises; run it hardened, with everything operations needs derived from it."""

from roadworthy._version import __version__
from roadworthy.database.queries import load_queries
from roadworthy.duration import days, hours, minutes, seconds
from roadworthy.errors import (
    AlreadyRunning,
    DatabaseUnavailable,
    DeclarationError,
    InvalidArguments,
    JobNotFound,
    MigrationError,
    MissingExtra,
    NotRunning,
    RoadworthyError,
    SettingError,
    TransactionEnded,
)
from roadworthy.handles.database import Database
from roadworthy.handles.jobs import Job, Queue
from roadworthy.handles.metrics import Counter, Gauge, Histogram
from roadworthy.handles.resource import Resource
from roadworthy.health.policy import Reading
from roadworthy.jobs.current import current_job
from roadworthy.jobs.spec import Backoff
from roadworthy.service import Service, ServiceSpec

__all__ = [
    "AlreadyRunning",
    "Backoff",
    "Counter",
    "Database",
    "DatabaseUnavailable",
    "DeclarationError",
    "Gauge",
    "Histogram",
    "InvalidArguments",
    "Job",
    "JobNotFound",
    "MigrationError",
    "MissingExtra",
    "NotRunning",
    "Queue",
    "Reading",
    "Resource",
    "RoadworthyError",
    "Service",
    "ServiceSpec",
    "SettingError",
    "TransactionEnded",
    "__version__",
    "current_job",
    "days",
    "hours",
    "load_queries",
    "minutes",
    "seconds",
]
