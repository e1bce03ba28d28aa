"""Stamps: the order of everything that is written to a cache, by the store's clock.

A stamp is a whole number: microseconds of Unix time by the store's clock, then twelve bits that tell nodes apart. It
fits PostgreSQL's bigint, and in eight bytes, most significant first, sorts as text does in a Redis script.

An entry bears the stamp of the moment when its loading *began*, so whatever is invalidated while it loads is newer.
"""

from __future__ import annotations

NODE_BITS = 12
NODES = 1 << NODE_BITS


def stamp_of(seconds: float, node: int) -> int:
    """Return the stamp of a moment, Unix time in seconds, for node 0 to 4095."""
    return int(seconds * 1_000_000) << NODE_BITS | node


def seconds_of(stamp: int) -> float:
    """Return the moment of a stamp, Unix time in seconds."""
    return (stamp >> NODE_BITS) / 1_000_000
