"""What is asked for in which order: traces for hit ratios."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import accumulate

from .subject import Lookup

_EXPONENTS = (0.7, 0.9, 1.0, 1.2)


def zipf(keys: int, exponent: float, length: int, chance: random.Random) -> list[str]:
    """Return keys drawn by Zipf's law, popularity and name unrelated."""
    weights = list(accumulate(1 / rank**exponent for rank in range(1, keys + 1)))
    named = [f"key-{number}" for number in range(keys)]
    chance.shuffle(named)
    return chance.choices(named, cum_weights=weights, k=length)


def traces(keys: int, length: int) -> Mapping[str, list[str]]:
    """Return the traces by name: Zipf's, one that scans run through, and one whose popularity shifts ten times."""
    chance = random.Random(20_231_023)
    found = {f"Zipf {exponent}": zipf(keys, exponent, length, chance) for exponent in _EXPONENTS}
    scanned: list[str] = []
    popular = zipf(keys, 0.9, length * 2 // 3, chance)
    for start in range(0, len(popular), 2_000):
        scanned += popular[start : start + 2_000]
        scanned += [f"scan-{start}-{number}" for number in range(1_000)]
    found["scans"] = scanned
    found["shifts"] = [key for _ in range(10) for key in zipf(keys, 0.9, length // 10, chance)]
    return found


def ratio(look_up: Lookup, trace: list[str]) -> float:
    """Return how much of a trace was found, in per cent."""
    return 100 * sum(map(look_up, trace)) / len(trace)
