"""Overload on the real server, for some seconds; `python -m benchmarks.overload` measures it for a minute."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The benchmarks are run from the repository and are no part of what is installed.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.overload import load, percentile, served  # noqa: E402
from benchmarks.overload_applications import HELD, SLOTS  # noqa: E402

CAPACITY = SLOTS / HELD
SECONDS = 3


def test_three_times_what_a_pool_can_do_is_answered_in_part_and_in_time() -> None:
    with served(1, shedding=True) as port:
        load(port, "/pool", 0, 1, "--closed", "1")
        records, probes = load(port, "/pool", 3 * CAPACITY, SECONDS)
        good = [latency for _, latency, status in records if status == 200]
        assert {status for _, _, status in records} == {200, 503}
        # A machine that has other things to do does less than the pool could.
        assert len(good) > 0.1 * CAPACITY * SECONDS
        assert {status for _, _, status in probes} == {200}
        load(port, "/pool", CAPACITY / 10, 1)
        after, _ = load(port, "/pool", CAPACITY / 10, 2)
        assert sum(status == 200 for _, _, status in after) >= 0.95 * len(after)
    with served(1, shedding=False) as port:
        records, _ = load(port, "/pool", 3 * CAPACITY, SECONDS)
    unshed = [latency for _, latency, _ in records]
    assert percentile(good, 0.5) < percentile(unshed, 0.5) / 3


def test_a_handler_that_computes_is_kept_from_drowning() -> None:
    # Some milliseconds of work, whatever the machine.
    with served(200_000, shedding=True) as port:
        busy, _ = load(port, "/cpu", 0, 1, "--closed", "1")
        capacity = len(busy) / max(due + latency for due, latency, _ in busy)
        records, probes = load(port, "/cpu", 3 * capacity, SECONDS)
        good = [latency for _, latency, status in records if status == 200]
        assert len(good) > 0.1 * capacity * SECONDS
        assert percentile(good, 0.5) < 30 / capacity
        assert sum(status == 200 for _, _, status in probes) >= 0.9 * len(probes)
