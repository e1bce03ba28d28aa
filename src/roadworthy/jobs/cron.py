"""When a repeating job is due: fixed intervals, and five-field cron expressions in UTC. Pure.

The grammar and the rule that day-of-month and day-of-week widen each other when both are restricted are those of
POSIX crontab, with the steps (`*/5`), names (`mon`) and Sunday as 7 of Vixie cron.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from roadworthy.errors import DeclarationError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LEAP_CYCLE = timedelta(days=366 * 8 + 2)


@dataclass(frozen=True, slots=True)
class Every:
    """Fire times a fixed interval apart, aligned to the epoch, so that every process agrees on them."""

    interval: timedelta

    def before(self, moment: datetime) -> datetime:
        """Return the latest fire time at or before `moment`."""
        return _EPOCH + (moment - _EPOCH) // self.interval * self.interval

    def after(self, moment: datetime) -> datetime:
        """Return the first fire time after `moment`."""
        return self.before(moment) + self.interval


@dataclass(frozen=True, slots=True)
class Cron:
    """Fire times of a cron expression, in UTC."""

    expression: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @classmethod
    def parse(cls, expression: str) -> Cron:
        """Parse "minute hour day-of-month month day-of-week"; raise `DeclarationError` where it is none."""
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

        parsed = cls(
            expression=expression,
            minutes=read(0, "minute", 0, 59),
            hours=read(1, "hour", 0, 23),
            days=read(2, "day of month", 1, 31),
            months=read(3, "month", 1, 12, _MONTHS),
            weekdays=frozenset(day % 7 for day in read(4, "day of week", 0, 7, _DAYS)),
            either_day=not fields[2].startswith("*") and not fields[4].startswith("*"),
        )
        if parsed._search(_EPOCH, forward=True) is None:
            raise DeclarationError(f"cron expression {expression!r} never comes true; no month has that day")
        return parsed

    def before(self, moment: datetime) -> datetime:
        """Return the latest fire time at or before `moment`."""
        return self._found(self._search(_minute(moment), forward=False))

    def after(self, moment: datetime) -> datetime:
        """Return the first fire time after `moment`."""
        return self._found(self._search(_minute(moment) + timedelta(minutes=1), forward=True))

    def _found(self, moment: datetime | None) -> datetime:
        if moment is None:
            raise DeclarationError(f"cron expression {self.expression!r} never comes true; make one with Cron.parse")
        return moment

    def _search(self, moment: datetime, *, forward: bool) -> datetime | None:
        """Walk from `moment` to the nearest fire time, a day, an hour or a minute at a step."""
        end = moment + _LEAP_CYCLE if forward else moment - _LEAP_CYCLE
        step: Callable[[datetime, timedelta], datetime] = _next_start if forward else _previous_end
        while (moment < end) if forward else (moment > end):
            if not self._on_day(moment):
                moment = step(moment, timedelta(days=1))
            elif moment.hour not in self.hours:
                moment = step(moment, timedelta(hours=1))
            elif moment.minute not in self.minutes:
                moment = step(moment, timedelta(minutes=1))
            else:
                return moment
        return None

    def _on_day(self, moment: datetime) -> bool:
        if moment.month not in self.months:
            return False
        day, weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either_day else day and weekday


def _next_start(moment: datetime, unit: timedelta) -> datetime:
    return _EPOCH + ((moment - _EPOCH) // unit + 1) * unit


def _previous_end(moment: datetime, unit: timedelta) -> datetime:
    return _EPOCH + (moment - _EPOCH) // unit * unit - timedelta(minutes=1)


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(second=0, microsecond=0)


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
