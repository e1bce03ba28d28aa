"""Durations as people say them: `seconds(60)`, `minutes(5)`, `hours(1)`, `days(30)`."""

from __future__ import annotations

from datetime import timedelta


def seconds(count: float) -> timedelta:
    """Return `count` seconds."""
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    """Return `count` minutes."""
    return timedelta(minutes=count)


def hours(count: float) -> timedelta:
    """Return `count` hours."""
    return timedelta(hours=count)


def days(count: float) -> timedelta:
    """Return `count` days of 24 hours."""
    return timedelta(days=count)
