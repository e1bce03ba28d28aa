"""What is remembered for each key, for a bounded number of them."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Any, Final, Generic, TypeVar

S = TypeVar("S")

LONGEST_KEY: Final = 200
_TIDIED: Final = 2
_SAMPLED: Final = 16
_IDLE_SECONDS: Final = 60.0
"""For how long a key that has ended is kept where there is room: who comes again finds it, which is cheaper."""


def fitted(key: str) -> str:
    """Return a key of bounded length: a long one is replaced by its SHA-256, as it may come from a header."""
    if len(key) <= LONGEST_KEY:
        return key
    return f"#{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


class Remembered(Generic[S]):
    """States by key, at most so many. A hot path looks into `held` and sets what is there already by itself.

    A state is a float, the moment from which it is as good as none, or has that as `ends`, and as `used` how much it
    stands for.

    Each `add` looks at two of the others, in turn, and forgets those that ended a minute ago, so that about as many are
    held as are in use. Where there is no room, it looks at more, and if none has ended forgets the one among them that
    does so first: those that were taken from most, which somebody might want to have forgotten, last.
    """

    __slots__ = ("_most", "_turn", "evictions", "held")

    def __init__(self, most: int) -> None:
        """Hold `most` keys."""
        self.held: dict[str, S] = {}
        self.evictions = 0
        self._most = most
        self._turn: deque[str] = deque()

    def __len__(self) -> int:
        return len(self.held)

    def add(self, key: str, state: S, now: float) -> None:
        """Remember a key that is not held yet."""
        if len(self.held) < self._most:
            self._forget_ended(now - _IDLE_SECONDS, _TIDIED)
        elif not self._forget_ended(now, _SAMPLED):
            self._forget_least()
        self.held[key] = state
        self._turn.append(key)

    def _forget_ended(self, moment: float, looks: int) -> bool:
        held, turn = self.held, self._turn
        before = len(held)
        for _ in range(min(looks, len(turn))):
            key = turn.popleft()
            if _standing(held[key])[0] <= moment:
                del held[key]
            else:
                turn.append(key)
        return len(held) < before

    def _forget_least(self) -> None:
        held, turn = self.held, self._turn
        sample = [turn.popleft() for _ in range(min(_SAMPLED, len(turn)))]
        least = min(sample, key=lambda key: _standing(held[key]))
        sample.remove(least)
        turn.extend(sample)
        del held[least]
        self.evictions += 1


def _standing(state: Any) -> tuple[float, int]:
    return (state, 0) if type(state) is float else (state.ends, state.used)
