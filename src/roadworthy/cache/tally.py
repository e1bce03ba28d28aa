"""What a hit in memory touches besides its entry."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True, eq=False)
class Tally:
    """One cache's hits in memory, and the `generation` of its tags' stamps: an entry of another has to be looked at."""

    hits: int = 0
    generation: int = 0
    thread_hits: int = 0
    monotonic: Callable[[], float] = time.monotonic
    lock: Lock = field(default_factory=Lock)

    def hit_in_thread(self) -> None:
        """Count a hit that another thread than the event loop's had."""
        with self.lock:
            self.thread_hits += 1
