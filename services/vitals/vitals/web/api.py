"""The API for users and trainers, version 1.

An API key in the Authorization header says who asks. Errors are problem details (RFC 9457); what one may not know of is
not found, whether it exists or not; every list is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from roadworthy.http.problems import Problem
from vitals import remembered
from vitals.reading import access, metrics
from vitals.reading.access import Viewer
from vitals.reading.metrics import BADGES, Badge, Span
from vitals.remembered import LatestMetric
from vitals.service import database

if TYPE_CHECKING:
    from vitals.reading.access import Connection

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Microseconds since the epoch, and a source: whatever fits is a place in a history.
_CURSOR = r"^-?[0-9]{1,16}_[a-z0-9_]{1,60}$"
_BEARER = HTTPBearer(auto_error=False, description="An API key, `vitals_...`.")
_CHALLENGE = {"www-authenticate": 'Bearer realm="vitals"'}


class ProblemView(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None
    errors: list[dict[str, Any]] | None = Field(default=None, description="What of the request is not valid.")


_PROBLEM = {"content": {"application/problem+json": {"schema": ProblemView.model_json_schema()}}}


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ViewerView(_Row):
    """Whose key this is."""

    kind: access.Holder
    id: int
    name: str


class LatestView(_Row):
    """The value of a metric that is to be believed."""

    metric: str
    value: float
    unit: str
    source: str
    device: str | None
    started_at: datetime
    measured_at: datetime = Field(description="Until when the value speaks: the moment, or the end of the period.")
    confidence: int = Field(description="0 to 100.")
    badge: Badge
    sources: int = Field(description="How many sources have a value for it.")


class LatestMetrics(BaseModel):
    """The latest value of each of a user's metrics."""

    user: int
    metrics: list[LatestView]


class ValueView(_Row):
    """One value of a history."""

    started_at: datetime
    measured_at: datetime
    value: float
    source: str
    device: str | None


class History(BaseModel):
    """A part of a metric's history, the latest first."""

    metric: str
    unit: str
    values: list[ValueView]
    next: str | None = Field(description="Pass it as `cursor` for the values before these; null where there are none.")


class SourceView(_Row):
    """The latest value of one source, and how far it is trusted."""

    source: str
    kind: str
    value: float
    device: str | None
    started_at: datetime
    measured_at: datetime
    confidence: int = Field(description="The sum of the four parts.")
    reliability: int = Field(description="0 to 40: how good such a source is at this metric.")
    freshness: int = Field(description="0 to 20.")
    frequency: int = Field(description="0 to 20.")
    agreement: int = Field(description="0 to 20: with the other sources.")
    calculated_at: datetime | None


class Sources(BaseModel):
    """The sources of a metric, the one that counts first."""

    metric: str
    unit: str
    sources: list[SourceView]


class Quality(BaseModel):
    """How many of a user's metrics have each badge."""

    user: int
    metrics: int
    distribution: dict[Badge, int]


class ClientView(_Row):
    """A trainer's client."""

    id: int
    name: str
    since: datetime
    metrics: int
    confidence: float | None = Field(description="The mean over the metrics, 0 to 100.")
    poor: int = Field(description="How many metrics have the badge poor.")
    measured_at: datetime | None = Field(description="The end of the latest measurement.")


class Clients(BaseModel):
    """A trainer's clients by id."""

    clients: list[ClientView]
    next: int | None = Field(description="Pass it as `after` for those behind these; null where there are none.")


User = Annotated[int, Path(ge=1, lt=2**63)]
Metric = Annotated[str, Path(max_length=60, pattern=r"^[a-z0-9_]+$")]
Moment = Annotated[AwareDatetime, Query(description="With its offset, as in 2030-01-31T12:00Z.")]


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail=detail, headers=_CHALLENGE)


def _key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise _unauthorized("Send an API key, as in `Authorization: Bearer vitals_...`.")
    if not access.plausible(key.strip()):
        raise _unauthorized("This is no API key of ours.")
    return key.strip()


async def _require_key(request: Request) -> None:
    """Raise Problem 401 before anything is said of the rest of a request that shows no key."""
    _key(request)


router = APIRouter(
    prefix="/api/v1",
    dependencies=[Security(_BEARER), Depends(_require_key)],
    responses={
        "4XX": {"description": "The request cannot be met as it is.", **_PROBLEM},
        "5XX": {"description": "The service cannot meet it at the moment.", **_PROBLEM},
    },
)


@asynccontextmanager
async def _reading(request: Request) -> AsyncIterator[Connection]:
    """Read on behalf of the holder of the request's key. Raises Problem 401 without one."""
    async with access.reading_as(database, _key(request)) as connection:
        yield connection


async def _viewer(connection: Connection) -> Viewer:
    """Return who reads, or raise Problem 401 where the key is nobody's."""
    found = await access.viewer(connection)
    if found is None:
        raise _unauthorized("The API key is unknown, revoked or past its time.")
    return found


async def _require_person(connection: Connection, user: int) -> None:
    """Raise Problem 404 for a user who is not to be seen, 401 where nobody may see anything with this key."""
    if await metrics.person(connection, user) is None:
        await _viewer(connection)
        raise Problem(404, detail="There is no such user among those whom this key may see.")


async def _latest(request: Request, user: int) -> tuple[LatestMetric, ...]:
    """Return what is known of a user whom the key may see; else raise Problem as `_require_person` does.

    The database is asked each time who may see her, and only then what was remembered.
    """
    if not await access.may_see(database, _key(request), user):
        async with _reading(request) as connection:
            await _require_person(connection, user)
    return await remembered.latest_of(user)


def _latest_view(known: LatestMetric) -> LatestView:
    return LatestView.model_construct(**{name: getattr(known, name) for name in LatestView.model_fields})


async def _unit(connection: Connection, metric: str) -> str:
    found = await metrics.unit(connection, metric)
    if found is None:
        raise Problem(404, detail="There is no such metric.")
    return found


@router.get("/me", tags=["keys"])
async def get_me(request: Request) -> ViewerView:
    """Return whose key this is."""
    async with _reading(request) as connection:
        return ViewerView.model_validate(await _viewer(connection))


@router.get("/users/{user}/metrics/latest", tags=["metrics"])
async def get_latest(request: Request, user: User) -> LatestMetrics:
    """Return the value of each metric that is to be believed, with its confidence and badge."""
    known = await _latest(request, user)
    return LatestMetrics(user=user, metrics=[_latest_view(each) for each in known])


@router.get("/users/{user}/metrics/{metric}/history", tags=["metrics"])
async def get_history(
    request: Request,
    user: User,
    metric: Metric,
    since: Moment = EARLIEST,
    until: Moment = LATEST,
    source: Annotated[str | None, Query(max_length=60, pattern=r"^[a-z0-9_]+$")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=80, pattern=_CURSOR)] = None,
) -> History:
    """Return what all sources, or one, said of a metric from `since` until before `until`, the latest first."""
    span = Span(_within(since), _within(until), source, None if cursor is None else _decode(cursor))
    async with _reading(request) as connection:
        await _require_person(connection, user)
        unit = await _unit(connection, metric)
        rows = await metrics.history(connection, user, metric, span, limit + 1)
    shown, more = rows[:limit], len(rows) > limit
    return History(
        metric=metric,
        unit=unit,
        values=[ValueView.model_construct(**dict(row)) for row in shown],
        next=_encode(shown[-1]["started_at"], shown[-1]["source"]) if more else None,
    )


@router.get("/users/{user}/metrics/{metric}/sources", tags=["metrics"])
async def get_sources(request: Request, user: User, metric: Metric) -> Sources:
    """Return the latest value of each source of a metric and why one of them counts."""
    async with _reading(request) as connection:
        await _require_person(connection, user)
        unit = await _unit(connection, metric)
        rows = await metrics.sources(connection, user, metric)
    return Sources(metric=metric, unit=unit, sources=[SourceView.model_construct(**dict(row)) for row in rows])


@router.get("/users/{user}/quality", tags=["metrics"])
async def get_quality(request: Request, user: User) -> Quality:
    """Return how many of a user's metrics have each badge."""
    badges = Counter(each.badge for each in await _latest(request, user))
    return Quality(user=user, metrics=badges.total(), distribution={badge: badges[badge] for badge in BADGES})


@router.get("/clients", tags=["trainers"])
async def get_clients(
    request: Request,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Clients:
    """List a trainer's clients with how good their data are. A user has none."""
    async with _reading(request) as connection:
        await _viewer(connection)
        rows = await metrics.clients(connection, after, limit + 1)
    shown, more = rows[:limit], len(rows) > limit
    return Clients(
        clients=[ClientView.model_construct(**dict(row)) for row in shown], next=shown[-1]["id"] if more else None
    )


def _within(moment: datetime) -> datetime:
    """Return a moment, or the first or last one that anything can have been measured at."""
    return min(max(moment, EARLIEST), LATEST)


def _encode(moment: datetime, source: str) -> str:
    return f"{(moment - _EPOCH) // timedelta(microseconds=1)}_{source}"


def _decode(cursor: str) -> tuple[datetime, str]:
    microseconds, _, source = cursor.partition("_")
    return _EPOCH + timedelta(microseconds=int(microseconds)), source
