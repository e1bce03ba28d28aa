"""A payload's records into observations; what cannot be believed is refused, value by value, with its reason.

    {"event_id": "…", "type": "body", "created_at": "…", "user": {"reference": "…", "source": "WITHINGS"},
     "data": [{"metadata": {"start_time": "…", "end_time": "…", "time_zone": "Europe/Berlin"},
               "device_data": {"name": "Body+"}, …}]}

A field that no layout names is passed over: providers add fields. A record that cannot be placed in time is refused
whole. Of two values of a payload for one observation the later in the payload counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from vitals.payloads.metrics import METRICS
from vitals.payloads.readings import LAYOUTS, Layout, Reading
from vitals.webhooks.envelope import PayloadRefused

_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)
_LONGEST_PERIOD = timedelta(days=2)
_MOST_RECORDS = 5000
_MOST_REFUSALS = 20
_LONGEST_NAME = 60
_NAME = re.compile(r"[^a-z0-9]+")
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Observation:
    """One value of one metric from one source: for a period since `started_at`, or for a moment, both in UTC."""

    metric: str
    source: str
    started_at: datetime
    measured_at: datetime
    value: float
    device: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A value, or a whole record, that was not believed: where it stands, and why."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place} {self.reason}"


@dataclass(frozen=True, slots=True)
class Normalised:
    """What a payload says: its observations, one for each metric and start, and what of it was refused."""

    observations: tuple[Observation, ...]
    refusals: tuple[Refusal, ...]

    @property
    def reason(self) -> str | None:
        """The refusals as one line, None where there are none."""
        if not self.refusals:
            return None
        shown = "; ".join(map(str, self.refusals[:_MOST_REFUSALS]))
        left = len(self.refusals) - _MOST_REFUSALS
        return shown if left <= 0 else f"{shown}; and {left} more"


def normalise(body: bytes) -> Normalised:
    """Return the observations of a payload as it came; raise PayloadRefused where it has no readable structure."""
    payload = _read(body)
    layouts = LAYOUTS.get(payload["type"], ())
    source = source_name(payload["user"]["source"])
    created_at = _moment(payload["created_at"], None)
    if created_at is None:
        raise PayloadRefused("created_at is no moment with a time zone")
    found: dict[tuple[str, datetime], Observation] = {}
    refusals: list[Refusal] = []
    for number, record in enumerate(payload["data"]):
        if not isinstance(record, dict):
            refusals.append(Refusal(f"data[{number}]", "is no object"))
            continue
        for layout in layouts:
            for one in _of_record(record, layout, f"data[{number}]", created_at + _AHEAD):
                if isinstance(one, Refusal):
                    refusals.append(one)
                else:
                    found[one.metric, one.started_at] = replace(one, source=source)
    return Normalised(tuple(found.values()), tuple(refusals))


def source_name(written: str) -> str:
    """Return a product's name as we keep it: lower case, words joined by underscores, at most 60 characters."""
    return _NAME.sub("_", written.lower()).strip("_")[:_LONGEST_NAME] or "unknown"


def _read(body: bytes) -> dict[str, Any]:
    try:
        payload = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadRefused(f"the body is no JSON document: {error}") from None
    if not isinstance(payload, dict):
        raise PayloadRefused("the body is no JSON object")
    user = payload.get("user")
    for place, value in (
        ("type", payload.get("type")),
        ("created_at", payload.get("created_at")),
        ("user.source", user.get("source") if isinstance(user, dict) else None),
    ):
        if not isinstance(value, str):
            raise PayloadRefused(f"{place} is missing, or no text")
    records = payload.get("data")
    if not isinstance(records, list):
        raise PayloadRefused("data is missing, or no list of records")
    if len(records) > _MOST_RECORDS:
        raise PayloadRefused(f"data holds more than {_MOST_RECORDS} records")
    return payload


def _of_record(record: dict[str, Any], layout: Layout, place: str, latest: datetime) -> Iterator[Observation | Refusal]:
    """Yield what one layout reads from one record."""
    zone = _at(record, "metadata.time_zone")
    device = _text(_at(record, "device_data.name"))
    if layout.items is None:
        items: Any = [record]
    else:
        items = _at(record, layout.items)
        place = f"{place}.{layout.items}"
        if items is None:
            return
        if not isinstance(items, list):
            yield Refusal(place, "is no list")
            return
    for number, item in enumerate(items):
        where = place if layout.items is None else f"{place}[{number}]"
        if not isinstance(item, dict):
            yield Refusal(where, "is no object")
            continue
        values = list(_values(item, layout, where))
        if not values:
            continue
        period = _period(item, layout, zone, where, latest)
        if isinstance(period, Refusal):
            yield period
            continue
        started_at, measured_at = period
        for one in values:
            if isinstance(one, Refusal):
                yield one
            else:
                metric, value = one
                yield Observation(metric, "", started_at, measured_at, value, device)


def _values(item: dict[str, Any], layout: Layout, place: str) -> Iterator[tuple[str, float] | Refusal]:
    """Yield each metric that an item holds and its value in the metric's unit."""
    for reading in layout.readings:
        one = _value(item, reading, place)
        if one is not None:
            yield one


def _value(item: dict[str, Any], reading: Reading, place: str) -> tuple[str, float] | Refusal | None:
    for candidate in reading.places:
        raw = _at(item, candidate.path)
        if raw is None:
            continue
        where = f"{place}.{candidate.path}"
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            return Refusal(where, "is no number")
        metric = METRICS[reading.metric]
        try:
            value = raw * candidate.factor + candidate.offset
        except OverflowError:
            value = math.inf
        if not metric.lowest <= value <= metric.highest:
            return Refusal(
                where, f"is {value:g} {metric.unit}, not within {metric.lowest:g} and {metric.highest:g} {metric.unit}"
            )
        return reading.metric, float(value)
    return None


def _period(
    item: dict[str, Any], layout: Layout, zone: Any, place: str, latest: datetime
) -> tuple[datetime, datetime] | Refusal:
    """Return since and until when an item's values speak."""
    started_at = _moment(_at(item, layout.time), zone)
    if started_at is None:
        return Refusal(f"{place}.{layout.time}", "is no moment with a time zone")
    measured_at = started_at
    if layout.moment == "period":
        ended_at = _moment(_at(item, "metadata.end_time"), zone)
        if ended_at is None:
            return Refusal(f"{place}.metadata.end_time", "is no moment with a time zone")
        measured_at = ended_at
        if measured_at < started_at:
            return Refusal(f"{place}.metadata.end_time", "is before the start")
        if measured_at - started_at > _LONGEST_PERIOD:
            return Refusal(f"{place}.metadata.end_time", f"is more than {_LONGEST_PERIOD.days} days after the start")
    if not _EARLIEST <= started_at <= latest:
        return Refusal(f"{place}.{layout.time}", f"is before {_EARLIEST.year}, or later than the payload itself")
    # A day's summary may name the end of the day that has only begun.
    return started_at, min(measured_at, max(started_at, latest - _AHEAD))


def _moment(written: Any, zone: Any) -> datetime | None:
    """Return a moment written as ISO 8601 in UTC; one without an offset is a clock's in `zone`, an IANA name."""
    if not isinstance(written, str):
        return None
    try:
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is None:
            if not isinstance(zone, str):
                return None
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return moment.astimezone(UTC)
    # What ZoneInfo raises for a name that is a path, a directory or no name at all, and datetime at its ends.
    except (ValueError, KeyError, OSError, OverflowError):
        return None


def _at(record: dict[str, Any], path: str) -> Any:
    """Return what stands at a dotted path, None where nothing does."""
    found: Any = record
    for part in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(part)
    return found


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return " ".join(value.replace("\x00", " ").split())[:200] or None
