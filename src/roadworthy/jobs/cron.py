"""When a repeating job is due: fixed intervals, and five-field cron expressions in a time zone. Pure.

The grammar and the rule that day-of-month and day-of-week widen each other when both are restricted are those of
POSIX crontab, with the steps (`*/5`), names (`mon`) and Sunday as 7 of Vixie cron. So is what happens when clocks
change: an expression whose hours are numbers fires once for each time, one whose hours are a rhythm goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from roadworthy.errors import DeclarationError
from roadworthy.jobs.wall_clock import WallClock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIRST_TIME = datetime(1970, 1, 1)  # noqa: DTZ001 - what a clock shows has no zone
_LEAP_CYCLE = timedelta(days=366 * 8 + 2)
_MINUTE = timedelta(minutes=1)
_INSTANT = timedelta.resolution


@dataclass(frozen=True, slots=True)
class Every:
    """Fire times a fixed interval apart, aligned to the epoch, so that every process agrees on them."""

    interval: timedelta

    @property
    def definition(self) -> str:
        """What makes it this schedule and no other."""
        return f"every {self.interval.total_seconds():.6f}".rstrip("0").rstrip(".") + " s"

    def before(self, moment: datetime) -> datetime:
        """Return the latest fire time at or before `moment`."""
        return _EPOCH + (moment - _EPOCH) // self.interval * self.interval

    def after(self, moment: datetime) -> datetime:
        """Return the first fire time after `moment`."""
        return self.before(moment) + self.interval

    def at(self, fire_time: datetime) -> datetime:
        """Return a fire time as people read it, in UTC."""
        return fire_time.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """Fire times of a cron expression, by a clock on the wall.

    Where `rhythmic`, it fires whenever the clock shows such a time: on both passes of an hour that comes twice, and
    not for one that is skipped. Else it fires when the clock first shows such a time, or is put past it.
    """

    expression: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    rhythmic: bool
    clock: WallClock

    @classmethod
    def parse(cls, expression: str, timezone: str = "UTC") -> Cron:
        """Parse "minute hour day-of-month month day-of-week"; raise `DeclarationError` where it is none.

        `timezone` is the IANA name of the zone whose clock it goes by. Hours are a rhythm where they have a `*` or a
        step, or are all of a day.
        """
        fields = expression.lower().split()
        if len(fields) != 5:
            raise DeclarationError(
                f"cron expression {expression!r} has {len(fields)} fields; it takes five: "
                "minute, hour, day of month, month, day of week"
            )

        def read(index: int, what: str, low: int, high: int, names: tuple[str, ...] = ()) -> frozenset[int]:
            try:
                return _values(fields[index], low, high, names)
            except ValueError as error:
                raise DeclarationError(f"cron expression {expression!r}: its {what} {error}") from None

        hours = read(1, "hour", 0, 23)
        parsed = cls(
            expression=" ".join(fields),
            minutes=read(0, "minute", 0, 59),
            hours=hours,
            days=read(2, "day of month", 1, 31),
            months=read(3, "month", 1, 12, _MONTHS),
            weekdays=frozenset(day % 7 for day in read(4, "day of week", 0, 7, _DAYS)),
            either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
            rhythmic="*" in fields[1] or "/" in fields[1] or len(hours) == 24,
            clock=WallClock(timezone),
        )
        parsed._search(_FIRST_TIME, forward=True)
        return parsed

    @property
    def definition(self) -> str:
        """What makes it this schedule and no other."""
        return f"{self.expression} {self.clock.timezone}"

    def at(self, fire_time: datetime) -> datetime:
        """Return a fire time as people read it, in the zone of the clock."""
        return self.clock.at(fire_time)

    def before(self, moment: datetime) -> datetime:
        """Return the latest fire time at or before `moment`."""
        clock = self.clock
        moment = moment.astimezone(UTC)
        while self.rhythmic:
            shown = clock.shows(moment)
            due = moment - (shown - self._search(_minute(shown), forward=False))
            shift = clock.last_shift(due, moment)
            if shift is None:
                return due
            moment = shift - _INSTANT
        return clock.first(self._search(_minute(clock.reached(moment)), forward=False))

    def after(self, moment: datetime) -> datetime:
        """Return the first fire time after `moment`."""
        clock = self.clock
        moment = moment.astimezone(UTC)
        while self.rhythmic:
            shown = clock.shows(moment)
            due = moment + (self._search(_minute(shown) + _MINUTE, forward=True) - shown)
            shift = clock.first_shift(moment, due)
            if shift is None:
                return due
            if self._is_fire_time(clock.shows(shift)):
                return shift
            moment = shift
        return clock.first(self._search(_minute(clock.reached(moment)) + _MINUTE, forward=True))

    def _search(self, time: datetime, *, forward: bool) -> datetime:
        """Walk from `time` to the nearest one that the expression names, a day, an hour or a minute at a step."""
        end = time + _LEAP_CYCLE if forward else time - _LEAP_CYCLE
        step: Callable[[datetime, timedelta], datetime] = _next_start if forward else _previous_end
        while (time < end) if forward else (time > end):
            if not self._on_day(time):
                time = step(time, timedelta(days=1))
            elif time.hour not in self.hours:
                time = step(time, timedelta(hours=1))
            elif time.minute not in self.minutes:
                time = step(time, _MINUTE)
            else:
                return time
        raise DeclarationError(f"cron expression {self.expression!r} never comes true; no month has that day")

    def _is_fire_time(self, time: datetime) -> bool:
        named = self._on_day(time) and time.hour in self.hours and time.minute in self.minutes
        return named and time == _minute(time)

    def _on_day(self, time: datetime) -> bool:
        if time.month not in self.months:
            return False
        day, weekday = time.day in self.days, time.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either_day else day and weekday


def schedule_of(definition: str) -> Every | Cron:
    """Return the schedule that has this definition; raise `DeclarationError` where it is none known here."""
    kind, _, rest = definition.partition(" ")
    if kind == "every":
        return Every(timedelta(seconds=float(rest.removesuffix(" s"))))
    expression, _, timezone = definition.rpartition(" ")
    return Cron.parse(expression, timezone)


def _next_start(time: datetime, unit: timedelta) -> datetime:
    return _FIRST_TIME + ((time - _FIRST_TIME) // unit + 1) * unit


def _previous_end(time: datetime, unit: timedelta) -> datetime:
    return _FIRST_TIME + (time - _FIRST_TIME) // unit * unit - _MINUTE


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _values(field: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    values: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isascii() and step.isdigit() and int(step) > 0):
            raise ValueError(f"has the step {step!r}; a step is a whole number from 1")
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = _number(first, low, high, names)
            end = _number(last, low, high, names) if dash else (high if slash else start)
        if start > end:
            raise ValueError(f"has the range {span!r}, which runs backwards; write it as two")
        values.update(range(start, end + 1, int(step) if slash else 1))
    return frozenset(values)


def _number(text: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + low
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        named = f" or {names[0]}..{names[-1]}" if names else ""
        raise ValueError(f"holds {text!r}; it takes numbers from {low} to {high}{named}")
    return int(text)
