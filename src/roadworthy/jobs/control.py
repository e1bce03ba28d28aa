"""What a job raises to say how its attempt is to end, where neither success nor a retry is right."""

from __future__ import annotations

from datetime import timedelta


class Snooze(Exception):
    """Not now: run the job again after `delay`. The attempt does not count, and nothing failed."""

    def __init__(self, delay: timedelta) -> None:
        """`delay` is 0 or more; ValueError otherwise."""
        if delay < timedelta(0):
            raise ValueError(f"delay={delay} is negative; pass a duration of 0 or more")
        super().__init__(delay)
        self.delay = delay


class GiveUp(Exception):
    """Never: bury the job at once, whatever attempts it has left. The message says why, as for any failure."""
