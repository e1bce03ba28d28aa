"""Where each kind of payload keeps its values, as tables: a path below a record, and what its unit is in ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_POUND = 0.45359237
_INCH = 2.54
_MILE = 1609.344


@dataclass(frozen=True, slots=True)
class Place:
    """A dotted path, and the factor and offset that make its value one in the metric's unit."""

    path: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric, and the places where it may stand; the first that holds something counts."""

    metric: str
    places: tuple[Place, ...]

    @classmethod
    def at(cls, metric: str, *places: str | Place) -> Reading:
        """A reading at `places`, a bare path being in the metric's own unit."""
        return cls(metric, tuple(Place(place) if isinstance(place, str) else place for place in places))


@dataclass(frozen=True, slots=True)
class Layout:
    """How the records of one kind of payload are read.

    `moment` says what a value speaks of: the record's whole `period`, or one `instant`, at `time` below the `items` of
    a record where it lists several.
    """

    readings: tuple[Reading, ...]
    moment: Literal["period", "instant"]
    items: str | None = None
    time: str = "metadata.start_time"


_HEART = (
    Reading.at("resting_heart_rate", "heart_rate_data.summary.resting_hr_bpm"),
    Reading.at("hrv", "heart_rate_data.summary.avg_hrv_rmssd"),
)
_VO2MAX = Reading.at("vo2max", "oxygen_data.vo2max_ml_per_min_per_kg")

ACTIVITY = Layout(
    readings=(
        Reading.at("workout_calories", "calories_data.net_activity_calories", "calories_data.total_burned_calories"),
        Reading.at(
            "workout_distance",
            "distance_data.summary.distance_meters",
            Place("distance_data.summary.distance_kilometers", 1000),
            Place("distance_data.summary.distance_miles", _MILE),
        ),
        Reading.at(
            "workout_duration",
            "active_durations_data.activity_seconds",
            Place("active_durations_data.activity_minutes", 60),
        ),
        Reading.at("workout_heart_rate", "heart_rate_data.summary.avg_hr_bpm"),
        Reading.at("workout_maximum_heart_rate", "heart_rate_data.summary.max_hr_bpm"),
        _VO2MAX,
    ),
    moment="period",
)

DAILY = Layout(
    readings=(
        Reading.at("steps", "distance_data.steps", "distance_data.summary.steps"),
        Reading.at(
            "distance",
            "distance_data.distance_meters",
            Place("distance_data.distance_kilometers", 1000),
            Place("distance_data.distance_miles", _MILE),
        ),
        Reading.at("floors", "distance_data.floors_climbed"),
        Reading.at("active_calories", "calories_data.net_activity_calories"),
        *_HEART,
        Reading.at("blood_oxygen", "oxygen_data.avg_saturation_percentage"),
        _VO2MAX,
    ),
    moment="period",
)

SLEEP = Layout(
    readings=(
        Reading.at("sleep_duration", "sleep_durations_data.asleep.duration_asleep_state_seconds"),
        Reading.at("deep_sleep", "sleep_durations_data.asleep.duration_deep_sleep_state_seconds"),
        Reading.at("rem_sleep", "sleep_durations_data.asleep.duration_REM_sleep_state_seconds"),
        Reading.at(
            "sleep_efficiency",
            Place("sleep_durations_data.sleep_efficiency", 100),
            "sleep_durations_data.sleep_efficiency_percentage",
        ),
        *_HEART,
        Reading.at("respiratory_rate", "respiration_data.breaths_data.avg_breaths_per_min"),
        Reading.at("blood_oxygen", "respiration_data.oxygen_saturation_data.avg_saturation_percentage"),
    ),
    moment="period",
)

BODY = (
    Layout(
        readings=(
            Reading.at(
                "weight", "weight_kg", Place("weight_g", 0.001), Place("weight_lb", _POUND), Place("weight_lbs", _POUND)
            ),
            Reading.at("body_fat", "bodyfat_percentage"),
            Reading.at("height", "height_cm", Place("height_in", _INCH), Place("height_meters", 100)),
        ),
        moment="instant",
        items="measurements_data.measurements",
        time="measurement_time",
    ),
    Layout(
        readings=(
            Reading.at("systolic_pressure", "systolic_bp"),
            Reading.at("diastolic_pressure", "diastolic_bp"),
        ),
        moment="instant",
        items="blood_pressure_data.blood_pressure_samples",
        time="timestamp",
    ),
    Layout(
        readings=(
            Reading.at(
                "body_temperature", "temperature_celsius", Place("temperature_fahrenheit", 5 / 9, offset=-160 / 9)
            ),
        ),
        moment="instant",
        items="temperature_data.body_temperature_samples",
        time="timestamp",
    ),
    Layout(
        readings=(Reading.at("blood_oxygen", "percentage"),),
        moment="instant",
        items="oxygen_data.saturation_samples",
        time="timestamp",
    ),
    Layout(
        readings=(Reading.at("vo2max", "vo2max_ml_per_min_per_kg"),),
        moment="instant",
        items="oxygen_data.vo2max_samples",
        time="timestamp",
    ),
)

LAYOUTS: dict[str, tuple[Layout, ...]] = {"activity": (ACTIVITY,), "body": BODY, "daily": (DAILY,), "sleep": (SLEEP,)}
"""The layouts of a payload by its type."""
