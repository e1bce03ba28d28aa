"""The comparison of caches: whom it compares, what with, and what it says of a failure."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.caches import registry, subject, traces  # noqa: E402

FOLDER = ROOT / "benchmarks" / "caches"
PEERS = ("cashews", "aiocache", "dogpile", "cachetools", "cachebox", "redis-py", "coredis", "valkey-glide")


def test_ours_comes_first_and_every_peer_has_a_row() -> None:
    names = list(registry.SUBJECTS)
    assert names[0] == registry.OURS
    for peer in PEERS:
        assert any(name.startswith(peer) for name in names)


def test_every_row_has_its_class() -> None:
    for place in registry.SUBJECTS.values():
        module, _, kind = place.partition(".")
        assert f"class {kind}(" in (FOLDER / f"{module}.py").read_text()


def test_ours_offers_all_that_is_measured() -> None:
    ours = registry.kind_of(registry.OURS)
    for method in ("decorated", "decorated_sync", "get", "protected", "over_shared", "memory"):
        assert ours.offers(method)
    assert not subject.Subject.offers("get")


def test_each_trace_is_the_same_in_every_run_and_as_skewed_as_it_says() -> None:
    found = traces.traces(keys=500, length=6_000)
    assert found == traces.traces(keys=500, length=6_000)
    assert {len(trace) for trace in found.values()} == {6_000}
    mostly = [Counter(found[f"Zipf {exponent}"]).most_common(1)[0][1] for exponent in (0.7, 0.9, 1.0, 1.2)]
    assert mostly == sorted(mostly)
    assert any(key.startswith("scan-") for key in found["scans"])


@pytest.mark.parametrize(("size", "expected"), [(1, 0.0), (2, 60.0)])
def test_a_ratio_is_what_a_memory_found(size: int, expected: float) -> None:
    look_up = registry.kind_of(registry.OURS)().memory(size)
    assert traces.ratio(look_up, ["a", "b", "a", "b", "a"]) == expected
