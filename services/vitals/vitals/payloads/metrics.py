"""The metrics: what can be believed of each, and how fast knowing it grows old.

Names and units are those of the table `metrics`; a test holds both to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from roadworthy import days, hours


@dataclass(frozen=True, slots=True)
class Metric:
    """One kind of measurement.

    `lowest` and `highest` bound what is believed, both included, in `unit`. A value is half as fresh after each
    `half_life`. `per_month` is on how many of 30 days a source that can be relied on measures it. Two sources agree
    that differ by at most `tolerance`, a share of the larger value.
    """

    name: str
    unit: str
    lowest: float
    highest: float
    half_life: timedelta
    per_month: int
    tolerance: float


_NIGHTLY = hours(36)

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("active_calories", "kcal", 0, 20_000, hours(24), 28, 0.2),
            Metric("blood_oxygen", "%", 50, 100, _NIGHTLY, 20, 0.03),
            Metric("body_fat", "%", 2, 75, days(14), 8, 0.1),
            Metric("body_temperature", "°C", 30, 45, hours(24), 8, 0.01),
            Metric("deep_sleep", "s", 0, 86_400, _NIGHTLY, 25, 0.25),
            Metric("diastolic_pressure", "mmHg", 20, 200, days(7), 8, 0.1),
            Metric("distance", "m", 0, 300_000, hours(24), 28, 0.15),
            Metric("floors", "count", 0, 2_000, hours(24), 28, 0.3),
            Metric("height", "cm", 50, 272, days(1825), 1, 0.01),
            Metric("hrv", "ms", 1, 400, _NIGHTLY, 25, 0.2),
            Metric("rem_sleep", "s", 0, 86_400, _NIGHTLY, 25, 0.25),
            Metric("respiratory_rate", "1/min", 4, 60, _NIGHTLY, 25, 0.1),
            Metric("resting_heart_rate", "bpm", 20, 180, _NIGHTLY, 25, 0.08),
            Metric("sleep_duration", "s", 0, 86_400, _NIGHTLY, 25, 0.1),
            Metric("sleep_efficiency", "%", 0, 100, _NIGHTLY, 25, 0.1),
            Metric("steps", "count", 0, 250_000, hours(24), 28, 0.15),
            Metric("systolic_pressure", "mmHg", 50, 300, days(7), 8, 0.1),
            Metric("vo2max", "ml/min/kg", 10, 100, days(30), 4, 0.1),
            Metric("weight", "kg", 2, 650, days(7), 12, 0.02),
            Metric("workout_calories", "kcal", 0, 20_000, days(3), 12, 0.2),
            Metric("workout_distance", "m", 0, 1_000_000, days(3), 12, 0.05),
            Metric("workout_duration", "s", 1, 172_800, days(3), 12, 0.05),
            Metric("workout_heart_rate", "bpm", 30, 250, days(3), 12, 0.05),
            Metric("workout_maximum_heart_rate", "bpm", 30, 260, days(3), 12, 0.05),
        )
    }
)
