"""When repeating jobs fire next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from roadworthy.jobs.engine import ScheduleRecord
from roadworthy.jobs.upcoming import upcoming

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def record(schedule: str, definition: str, seen: float = 0.0) -> ScheduleRecord:
    return ScheduleRecord(schedule, definition, NOW, NOW - timedelta(minutes=seen), None)


def test_what_fires_next_comes_first_in_its_own_zone() -> None:
    found = upcoming(
        [
            record("nightly", "0 3 * * * Europe/Berlin"),
            record("elsewhere", "0 3 * * * Mars/Olympus"),
            record("hourly", "every 3600 s"),
        ],
        NOW,
    )
    assert [(one.schedule, one.next_fire and one.next_fire.isoformat()) for one in found] == [
        ("hourly", "2030-01-01T13:00:00+00:00"),
        ("nightly", "2030-01-02T03:00:00+01:00"),
        ("elsewhere", None),
    ]


def test_a_replaced_definition_is_left_out_and_one_beside_another_is_not() -> None:
    found = upcoming(
        [
            record("nightly", "0 1 * * * UTC", seen=60),
            record("nightly", "0 2 * * * UTC", seen=3),
            record("nightly", "0 3 * * * UTC"),
            record("removed", "0 4 * * * UTC", seen=9999),
        ],
        NOW,
    )
    assert [one.definition for one in found] == ["0 2 * * * UTC", "0 3 * * * UTC", "0 4 * * * UTC"]
