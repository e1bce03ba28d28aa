"""Confidence in what a source says of a metric, 0 to 100, in four parts.

| Part | Points | Asks |
|---|---|---|
| reliability | 40 | is this kind of product made to measure this? |
| freshness | 20 | how long ago was it measured? Halved with each half-life of the metric |
| frequency | 20 | on how many of the last 30 days was it measured, of those to be expected? |
| agreement | 20 | do the other sources, those of the same time, say the same? 10 where there is none to ask |
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from vitals.payloads.metrics import METRICS, Metric

RELIABILITY, FRESHNESS, FREQUENCY, AGREEMENT = 40, 20, 20, 20
_UNASKED = AGREEMENT // 2
_CONTRADICTED_AT = 4
"""How many tolerances apart two sources are when none of the agreement is left."""

_COMPARABLE_HALF_LIVES = 2
_UNKNOWN_RELIABILITY = 12

_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "size": ("weight", "height"),
    "composition": ("body_fat",),
    "pressure": ("systolic_pressure", "diastolic_pressure"),
    "temperature": ("body_temperature",),
    "heart": ("resting_heart_rate", "hrv", "workout_heart_rate", "workout_maximum_heart_rate"),
    "blood": ("blood_oxygen", "respiratory_rate"),
    "sleep": ("sleep_duration", "sleep_efficiency", "deep_sleep", "rem_sleep"),
    "movement": ("steps", "distance", "floors"),
    "energy": ("active_calories", "workout_calories"),
    "training": ("vo2max", "workout_distance", "workout_duration"),
}
_KINDS = ("scale", "cuff", "ring", "strap", "watch", "app", "hand")
_RELIABILITY: Mapping[str, tuple[int, ...]] = {
    "size": (40, 10, 10, 10, 12, 20, 25),
    "composition": (32, 8, 8, 8, 18, 14, 18),
    "pressure": (10, 40, 12, 12, 20, 16, 25),
    "temperature": (10, 10, 30, 26, 26, 14, 28),
    "heart": (18, 26, 36, 40, 34, 16, 14),
    "blood": (10, 14, 34, 32, 30, 12, 14),
    "sleep": (8, 4, 38, 34, 30, 16, 14),
    "movement": (4, 4, 26, 24, 38, 26, 10),
    "energy": (4, 4, 26, 34, 32, 20, 10),
    "training": (4, 4, 18, 36, 38, 28, 16),
}
"""Points of each kind of source, in the order of `_KINDS`, for a family of metrics."""


def _reliabilities() -> Mapping[tuple[str, str], int]:
    return MappingProxyType(
        {
            (kind, metric): points
            for family, metrics in _FAMILIES.items()
            for metric in metrics
            for kind, points in zip(_KINDS, _RELIABILITY[family], strict=True)
        }
    )


RELIABILITIES = _reliabilities()
"""Points by kind of source and metric."""


@dataclass(frozen=True, slots=True)
class Record:
    """One source of a user's metric: its kind, its latest value, and on how many of the last 30 days it measured."""

    source: str
    kind: str
    value: float
    measured_at: datetime
    days: int


@dataclass(frozen=True, slots=True)
class Confidence:
    """The parts of a confidence, in points."""

    reliability: int
    freshness: int
    frequency: int
    agreement: int

    @property
    def total(self) -> int:
        """The confidence, from 0 to 100."""
        return self.reliability + self.freshness + self.frequency + self.agreement


def score(metric: str, records: Sequence[Record], now: datetime) -> dict[str, Confidence]:
    """Return the confidence in each of the sources of one user's metric, by source.

    Raises:
        KeyError: there is no such metric.
    """
    known = METRICS[metric]
    return {
        record.source: Confidence(
            reliability(record.kind, metric),
            freshness(known, record.measured_at, now),
            frequency(known, record.days),
            agreement(known, record, records),
        )
        for record in records
    }


def reliability(kind: str, metric: str) -> int:
    """Return the points of a kind of source for a metric, few for one unheard of."""
    return RELIABILITIES.get((kind, metric), _UNKNOWN_RELIABILITY)


def freshness(metric: Metric, measured_at: datetime, now: datetime) -> int:
    """Return the points of a value measured then; one from the future counts as of now."""
    half_lives = max(0.0, (now - measured_at) / metric.half_life)
    return round(FRESHNESS * math.pow(0.5, half_lives))


def frequency(metric: Metric, days: int) -> int:
    """Return the points of a source that measured on so many of the last 30 days."""
    return round(FREQUENCY * min(1.0, days / metric.per_month))


def agreement(metric: Metric, record: Record, records: Sequence[Record]) -> int:
    """Return the points for what the others say of the same time: all within the tolerance, falling to none at four."""
    within = _COMPARABLE_HALF_LIVES * metric.half_life
    others = [
        other.value
        for other in records
        if other.source != record.source and abs(other.measured_at - record.measured_at) <= within
    ]
    if not others:
        return _UNASKED
    middle = statistics.median(others)
    scale = max(abs(middle), abs(record.value))
    if math.isclose(scale, 0.0, abs_tol=1e-9):
        return AGREEMENT
    apart = abs(middle - record.value) / scale / metric.tolerance
    return round(AGREEMENT * min(1.0, max(0.0, (_CONTRADICTED_AT - apart) / (_CONTRADICTED_AT - 1))))
