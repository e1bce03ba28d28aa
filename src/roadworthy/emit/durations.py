"""Durations as Prometheus writes them: 90s, 5m, 1h, 3d."""

from __future__ import annotations

from datetime import timedelta

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def written(duration: timedelta) -> str:
    """Return a duration in the largest unit that it is a whole number of."""
    milliseconds = round(duration / timedelta(milliseconds=1))
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    seconds = milliseconds // 1000
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0 and (seconds or unit == "s"))
    return f"{seconds // size}{unit}"
