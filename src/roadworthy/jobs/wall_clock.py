"""What a clock on the wall shows in a time zone, and when it is put forward or back. Pure.

A clock put forward skips some times, one put back shows some twice. Moments are aware datetimes and go on evenly;
times are naive ones, as the clock shows them.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches

from roadworthy.errors import DeclarationError

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class WallClock:
    """A clock in the time zone `timezone`, an IANA name or "UTC".

    Raises:
        DeclarationError: this machine knows no such zone.
    """

    timezone: str = "UTC"
    _zone: tzinfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", _zone(self.timezone))

    def at(self, moment: datetime) -> datetime:
        """Return `moment` in this zone."""
        return moment.astimezone(self._zone)

    def shows(self, moment: datetime) -> datetime:
        """Return the time that the clock shows."""
        return self.at(moment).replace(tzinfo=None, fold=0)

    def reached(self, moment: datetime) -> datetime:
        """Return the latest time that the clock has shown so far: it stands still where the clock is put back."""
        if not self.at(moment).fold:
            return self.shows(moment)
        shift = self.last_shift(moment - _DAY - _SECOND, moment)
        return self.shows(moment) if shift is None else self.shows(shift - _SECOND)

    def first(self, time: datetime) -> datetime:
        """Return the first moment at which the clock shows `time` or, where it is put past that, a later one."""
        moment = time.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        if self.shows(moment) == time:
            return moment
        return self.first_shift(time.replace(tzinfo=self._zone, fold=1).astimezone(UTC), moment) or moment

    def first_shift(self, after: datetime, until: datetime) -> datetime | None:
        """Return the first moment in (`after`, `until`] from which the clock is put forward or back, None without one.

        No zone has ever been shifted twice within a day.
        """
        while self._zone is not UTC and after < until:
            far = min(after + _DAY, until)
            if self._offset(after) != self._offset(far):
                return self._shift(after, far)
            after = far
        return None

    def last_shift(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last such moment in (`after`, `until`], None without one."""
        while self._zone is not UTC and after < until:
            far = max(until - _DAY, after)
            if self._offset(far) != self._offset(until):
                return self._shift(far, until)
            until = far
        return None

    def _shift(self, before: datetime, behind: datetime) -> datetime:
        """Return the second of the shift between two moments that have different offsets."""
        before, behind = before.replace(microsecond=0), behind.replace(microsecond=0)
        offset = self._offset(before)
        while behind - before > _SECOND:
            middle = before + (behind - before) // _SECOND // 2 * _SECOND
            if self._offset(middle) == offset:
                before = middle
            else:
                behind = middle
        return behind

    def _offset(self, moment: datetime) -> timedelta | None:
        return self.at(moment).utcoffset()


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        # Known without data, so that a machine that has none can still repeat jobs.
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
    if not known:
        raise DeclarationError(
            f"time zone {name!r} cannot be looked up: this machine has no time zone data. Install the system's tzdata "
            "package, or `pip install tzdata`"
        )
    alike = get_close_matches(name, known, 1, 0.7) or get_close_matches(name.title(), known, 1, 0.7)
    hint = f"did you mean {alike[0]!r}?" if alike else "write one such as 'Europe/Berlin'"
    raise DeclarationError(f"time zone {name!r} is not known here; {hint}")
