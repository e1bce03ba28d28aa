"""Payloads become observations in our units and UTC; what cannot be believed is refused with its reason."""

from __future__ import annotations

import contextlib
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from events import MORNING, day, encoded, payload, weighing
from hypothesis import given
from hypothesis import strategies as st

from vitals.payloads.metrics import METRICS
from vitals.payloads.normalise import Normalised, normalise, source_name
from vitals.payloads.readings import LAYOUTS
from vitals.webhooks.envelope import PayloadRefused

PERIOD = {"start_time": "2026-03-02T00:00:00+01:00", "end_time": "2026-03-02T20:00:00+01:00"}


def read(records: Any, **envelope: Any) -> Normalised:
    return normalise(encoded(payload(records, **envelope)))


def values(found: Normalised) -> dict[str, float]:
    return {one.metric: one.value for one in found.observations}


def test_a_day() -> None:
    record = {
        "metadata": PERIOD,
        "device_data": {"name": " Forerunner \u0000 265 ", "firmware": 3},
        "distance_data": {"steps": 9120, "distance_meters": 7012.5, "floors_climbed": 12},
        "calories_data": {"net_activity_calories": 480, "BMR_calories": 1650},
        "heart_rate_data": {"summary": {"resting_hr_bpm": 52, "avg_hrv_rmssd": 61.5, "max_hr_bpm": 171}},
        "oxygen_data": {"avg_saturation_percentage": 97, "vo2max_ml_per_min_per_kg": 47},
        "added_next_year": {"who": ["knows"]},
    }
    found = read([record], source="Garmin")
    assert found.refusals == ()
    assert values(found) == {
        "steps": 9120,
        "distance": 7012.5,
        "floors": 12,
        "active_calories": 480,
        "resting_heart_rate": 52,
        "hrv": 61.5,
        "blood_oxygen": 97,
        "vo2max": 47,
    }
    one = found.observations[0]
    assert (one.source, one.device) == ("garmin", "Forerunner 265")
    assert one.started_at == datetime(2026, 3, 1, 23, tzinfo=UTC)
    assert one.measured_at == datetime(2026, 3, 2, 19, tzinfo=UTC)


def test_a_night() -> None:
    record = {
        "metadata": PERIOD,
        "sleep_durations_data": {
            "sleep_efficiency": 0.91,
            "asleep": {
                "duration_asleep_state_seconds": 27000,
                "duration_deep_sleep_state_seconds": 5400,
                "duration_REM_sleep_state_seconds": 6100,
            },
        },
        "heart_rate_data": {"summary": {"resting_hr_bpm": 50}},
        "respiration_data": {
            "breaths_data": {"avg_breaths_per_min": 14.2},
            "oxygen_saturation_data": {"avg_saturation_percentage": 95.5},
        },
    }
    assert values(read([record], type="sleep")) == {
        "sleep_duration": 27000,
        "sleep_efficiency": 91,
        "deep_sleep": 5400,
        "rem_sleep": 6100,
        "resting_heart_rate": 50,
        "respiratory_rate": 14.2,
        "blood_oxygen": 95.5,
    }


def test_a_workout() -> None:
    record = {
        "metadata": PERIOD,
        "calories_data": {"total_burned_calories": 610},
        "distance_data": {"summary": {"distance_miles": 5}},
        "active_durations_data": {"activity_seconds": 3100},
        "heart_rate_data": {"summary": {"avg_hr_bpm": 148, "max_hr_bpm": 176}},
    }
    assert values(read([record], type="activity")) == {
        "workout_calories": 610,
        "workout_distance": pytest.approx(8046.72),
        "workout_duration": 3100,
        "workout_heart_rate": 148,
        "workout_maximum_heart_rate": 176,
    }


def test_a_body_has_measurements_at_moments_of_their_own() -> None:
    at, later = MORNING.isoformat(), (MORNING + timedelta(hours=3)).isoformat()
    record = {
        "metadata": PERIOD,
        "measurements_data": {
            "measurements": [
                {"measurement_time": at, "weight_kg": 72.5, "bodyfat_percentage": 18, "height_cm": 181},
                {"measurement_time": later, "weight_lb": 160, "height_in": 71},
            ]
        },
        "blood_pressure_data": {"blood_pressure_samples": [{"timestamp": at, "systolic_bp": 121, "diastolic_bp": 79}]},
        "temperature_data": {"body_temperature_samples": [{"timestamp": at, "temperature_fahrenheit": 98.6}]},
        "oxygen_data": {
            "saturation_samples": [{"timestamp": at, "percentage": 98}],
            "vo2max_samples": [{"timestamp": at, "vo2max_ml_per_min_per_kg": 44}],
        },
    }
    found = read([record], type="body")
    assert found.refusals == ()
    assert {(one.metric, one.started_at == MORNING): round(one.value, 6) for one in found.observations} == {
        ("weight", True): 72.5,
        ("body_fat", True): 18,
        ("height", True): 181,
        ("weight", False): 72.574779,
        ("height", False): 180.34,
        ("systolic_pressure", True): 121,
        ("diastolic_pressure", True): 79,
        ("body_temperature", True): 37,
        ("blood_oxygen", True): 98,
        ("vo2max", True): 44,
    }
    assert all(one.started_at == one.measured_at for one in found.observations)


@pytest.mark.parametrize(
    ("written", "zone", "expected"),
    [
        ("2026-03-29T01:30:00", "Europe/Berlin", "2026-03-29T00:30:00"),
        ("2026-03-29T03:30:00", "Europe/Berlin", "2026-03-29T01:30:00"),
        ("2026-03-29T03:30:00Z", "Europe/Berlin", "2026-03-29T03:30:00"),
        ("2026-03-29T03:30:00.250-05:30", None, "2026-03-29T09:00:00.25"),
    ],
)
def test_times_come_with_an_offset_or_a_zone(written: str, zone: str | None, expected: str) -> None:
    record = {
        "metadata": {"start_time": written, "end_time": written, "time_zone": zone},
        "distance_data": {"steps": 1},
    }
    (one,) = read([record], created_at=datetime(2026, 4, 1, tzinfo=UTC)).observations
    assert one.started_at == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "metadata.start_time is no moment with a time zone"),
        ({"start_time": "2026-03-02T00:00:00", "end_time": "2026-03-02T00:00:00"}, "start_time is no moment"),
        ({"start_time": "2026-03-02T00:00:00", "time_zone": "Mars/Olympus"}, "start_time is no moment"),
        ({"start_time": "2026-03-02T00:00:00", "time_zone": "../../etc/passwd"}, "start_time is no moment"),
        ({"start_time": "2026-03-02T00:00:00", "time_zone": ""}, "start_time is no moment"),
        ({"start_time": 1772409600}, "start_time is no moment"),
        ({"start_time": "yesterday"}, "start_time is no moment"),
        ({"start_time": "0001-01-01T00:00:00+14:00", "end_time": "2026-03-02T00:00:00Z"}, "start_time is no moment"),
        ({"start_time": "1989-12-31T00:00:00Z", "end_time": "1989-12-31T00:00:00Z"}, "is before 1990"),
        ({"start_time": "2026-03-04T00:00:00Z", "end_time": "2026-03-04T01:00:00Z"}, "later than the payload"),
        ({"start_time": "2026-03-02T00:00:00Z"}, "end_time is no moment"),
        ({"start_time": "2026-03-02T00:00:00Z", "end_time": "2026-03-01T00:00:00Z"}, "is before the start"),
        ({"start_time": "2026-03-02T00:00:00Z", "end_time": "2026-03-09T00:00:00Z"}, "more than 2 days"),
    ],
)
def test_a_record_that_cannot_be_placed_in_time_is_refused(metadata: dict[str, Any], reason: str) -> None:
    found = read([{"metadata": metadata, "distance_data": {"steps": 5}}, day(7)])
    assert values(found) == {"steps": 7}
    assert len(found.refusals) == 1
    assert reason in str(found.refusals[0])


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (-1, "is -1 count, not within 0 and 250000 count"),
        (250_001, "is 250001 count"),
        (10**400, "is inf count"),
        (True, "is no number"),
        ("9000", "is no number"),
        ([9000], "is no number"),
        ({"value": 9000}, "is no number"),
    ],
)
def test_an_absurd_value_is_refused_and_the_others_stay(steps: Any, reason: str) -> None:
    record = day(steps) | {"calories_data": {"net_activity_calories": 400}}
    found = read([record])
    assert values(found) == {"active_calories": 400}
    (refusal,) = found.refusals
    assert refusal.place == "data[0].distance_data.steps"
    assert reason in refusal.reason
    assert str(refusal) in str(found.reason)


def test_lists_that_are_none_are_refused_and_the_others_stay() -> None:
    at = MORNING.isoformat()
    found = read(
        [
            {"measurements_data": {"measurements": {"weight_kg": 70}}},
            {"measurements_data": {"measurements": [7, {"measurement_time": at, "weight_kg": 71}, None]}},
            "weight: 72",
        ],
        type="body",
    )
    assert values(found) == {"weight": 71}
    assert [str(refusal) for refusal in found.refusals] == [
        "data[0].measurements_data.measurements is no list",
        "data[1].measurements_data.measurements[0] is no object",
        "data[1].measurements_data.measurements[2] is no object",
        "data[2] is no object",
    ]


def test_nothing_measured_is_nothing_refused() -> None:
    found = read([day(None), {}, {"metadata": {}}, {"distance_data": None, "calories_data": []}])
    assert found == Normalised((), ())
    assert found.reason is None


def test_a_period_that_has_not_ended_speaks_until_the_payload_was_made() -> None:
    (one,) = read([day(5, hours=24)], created_at=MORNING + timedelta(hours=9)).observations
    assert one.measured_at == MORNING + timedelta(hours=9)


def test_the_later_of_two_in_a_payload_counts() -> None:
    assert values(read([day(5), day(6)])) == {"steps": 6}


def test_many_refusals_are_told_in_short() -> None:
    found = read([day(-1)] * 50)
    assert len(found.refusals) == 50
    assert str(found.reason).endswith("and 30 more")


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b"null",
        b'{"type": "daily"}',
        b"\xff\xfe",
        b'{"type": "daily", "created_at": "2026-03-02T00:00:00Z", "user": {"source": "x"}}',
        b'{"type": "daily", "created_at": "2026-03-02T00:00:00Z", "user": {"source": "x"}, "data": {}}',
        b'{"type": "daily", "created_at": "never", "user": {"source": "x"}, "data": []}',
        b'{"type": "daily", "created_at": "2026-03-02T00:00:00Z", "user": "x", "data": []}',
        b"[" * 10_000 + b"]" * 10_000,
        encoded(payload([day(1)] * 5001)),
    ],
)
def test_a_payload_without_structure_is_refused_whole(broken: bytes) -> None:
    with pytest.raises(PayloadRefused):
        normalise(broken)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("GARMIN", "garmin"),
        ("Apple Health", "apple_health"),
        (" -- ", "unknown"),
        ("Ümläut", "ml_ut"),
        ("x" * 99, "x" * 60),
    ],
)
def test_sources_have_one_spelling(written: str, kept: str) -> None:
    assert source_name(written) == kept


def test_every_reading_is_of_a_known_metric() -> None:
    read_from = {reading.metric for layouts in LAYOUTS.values() for layout in layouts for reading in layout.readings}
    assert read_from == METRICS.keys()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
_PATHS = sorted(
    {
        place.path
        for layouts in LAYOUTS.values()
        for layout in layouts
        for one in layout.readings
        for place in one.places
    }
)


@st.composite
def _records(draw: st.DrawFn) -> dict[str, Any]:
    """A record with anything at the places that are read, and mostly a sound period."""
    record: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from(_PATHS), max_size=6)):
        *parents, last = path.split(".")
        where = record
        for parent in parents:
            inner = where.setdefault(parent, {})
            if not isinstance(inner, dict):
                break
            where = inner
        where[last] = draw(st.floats(-1e3, 1e5) | st.integers() | _json)
    metadata = st.just(dict(PERIOD)) | _json
    return record | {"metadata": draw(metadata)}


@given(st.lists(_records() | _json, max_size=4), st.sampled_from(sorted(LAYOUTS)))
def test_whatever_comes_is_read_or_refused_and_what_is_read_can_be_believed(records: list[Any], type: str) -> None:
    found = read(records, type=type)
    for one in found.observations:
        metric = METRICS[one.metric]
        assert metric.lowest <= one.value <= metric.highest
        assert math.isfinite(one.value)
        assert one.started_at <= one.measured_at
        assert one.started_at.utcoffset() == timedelta(0)
        assert one.source == "garmin"
    keys = [(one.metric, one.started_at) for one in found.observations]
    assert len(keys) == len(set(keys))


@given(st.dictionaries(st.text(min_size=1, max_size=12), _json, max_size=4), st.integers(0, 250_000))
def test_unknown_fields_change_nothing(unknown: dict[str, Any], steps: int) -> None:
    known = day(steps)
    assert read([unknown | known]) == read([known])


@given(st.floats(2, 650))
def test_units_agree(kilograms: float) -> None:
    (in_kilograms,) = read([weighing(kilograms)], type="body").observations
    in_pounds = json.loads(json.dumps(weighing(0)))
    measured = in_pounds["measurements_data"]["measurements"][0]
    del measured["weight_kg"]
    measured["weight_lbs"] = min(kilograms / 0.45359237, 650 / 0.45359237)
    found = read([in_pounds], type="body").observations
    if found:
        assert found[0].value == pytest.approx(in_kilograms.value)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_or_read(body: bytes) -> None:
    with contextlib.suppress(PayloadRefused):
        assert isinstance(normalise(body), Normalised)
