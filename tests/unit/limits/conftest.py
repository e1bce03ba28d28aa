from __future__ import annotations

import pytest

from limited import Clock, SharedStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> SharedStore:
    return SharedStore(clock)
