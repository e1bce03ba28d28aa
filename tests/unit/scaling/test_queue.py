"""The scaling of one queue by several metrics, against a virtual clock and machine."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest

from roadworthy import minutes, seconds
from roadworthy.scaling.desired import desired_workers
from roadworthy.scaling.queue import Load, Measured, QueueScaler
from roadworthy.scaling.replicas import Pod, Sample
from roadworthy.scaling.spec import Policy, Resources, Scaling, down, milli, up

GIB = 2**30
SYNC = 5.0
OCR = Scaling(
    depth=50,
    cpu=70,
    memory=80,
    requests=Resources(cpu=1, memory=2 * GIB),
    up=up(Policy("Percent", 100, seconds(30))),
    down=down(Policy("Percent", 50, minutes(1)), window=minutes(5)),
)


class Plant:
    """Workers that come up at once, on a machine where all share the use of it."""

    def __init__(self, scaling: Scaling, workers: tuple[int, int], count: int | None = None) -> None:
        self.scaler = QueueScaler(workers, scaling, minutes(5))
        self.count = workers[0] if count is None else count
        self.began = [0.0] * self.count
        self.now = 1000.0
        self.reason = ""

    def sync(self, *, desired: int = 0, jobs: int = 0, cores: float = 0.0, memory: float = 0.0) -> int:
        """Look once: `cores` and `memory` (in bytes) are what all workers use together."""
        self.now += SYNC
        share, size = cores / max(self.count, 1), memory / max(self.count, 1)
        measured = [
            Measured(
                Pod(f"worker-{number}", ready_since=began, started_at=began),
                Sample(milli(share), at=self.now, window=15) if self.now - began >= 15 else None,
                Sample(milli(round(size)), at=self.now),
            )
            for number, began in enumerate(self.began)
        ]
        decision = self.scaler.sync(Load(desired, jobs), measured, self.count, self.now)
        self.reason = decision.reason
        self.count = decision.replicas
        self.began = self.began[: self.count] + [self.now] * (self.count - len(self.began))
        return self.count

    def run(self, duration: timedelta, **load: float) -> list[int]:
        return [self.sync(**load) for _ in range(int(duration.total_seconds() / SYNC))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("load", "workers", "reason"),
    [
        ({"desired": 9}, 9, "queue_desired_workers"),
        ({"jobs": 500}, 10, "depth"),
        ({"cores": 7.0}, 10, "cpu"),
        ({"memory": 12.8 * GIB}, 8, "memory"),
        ({"desired": 4, "jobs": 250, "cores": 4.8, "memory": 9 * GIB}, 7, "cpu"),  # the most that any asks for
        ({"jobs": 5000, "cores": 99.0}, 20, "depth"),
        ({}, 3, ""),
    ],
)
def test_each_metric_finds_its_number(load: dict[str, float], workers: int, reason: str) -> None:
    plant = Plant(OCR, (3, 20))
    reasons = set()
    for _ in range(24):
        plant.sync(**load)  # type: ignore[arg-type]
        reasons.add(plant.reason.split(" above")[0])
    assert plant.count == workers
    assert reason == "" or reason in reasons


def test_up_by_as_many_again_in_30_s_and_down_by_half_in_60_s_after_5_minutes() -> None:
    """A burst of ten times what three workers have."""
    plant = Plant(OCR, (3, 20))
    plant.run(minutes(5), jobs=150)
    assert plant.count == 3
    path = plant.run(minutes(2), jobs=1500)
    changes = [after for before, after in pairwise([3, *path]) if after != before]
    assert changes == [6, 12, 20]
    assert path.index(20) * SYNC == 60, "thirty seconds apart"
    path = plant.run(minutes(9), jobs=0)
    assert [after for before, after in pairwise([20, *path]) if after != before] == [10, 5, 3]
    assert path.index(10) * SYNC == 295, "five minutes after the last look at the burst"
    assert (path.index(5) - path.index(10)) * SYNC == (path.index(3) - path.index(5)) * SYNC == 60


def test_by_default_only_the_demand_counts_and_adds_without_tolerance() -> None:
    plant = Plant(Scaling(), (1, 40), 20)
    assert plant.sync(desired=21, jobs=10**6, cores=99) == 21
    assert not plant.scaler.measures
    assert QueueScaler((1, 2), OCR, minutes(5)).measures


def test_the_tolerance_of_the_rules_holds_for_the_declared_metrics() -> None:
    plant = Plant(Scaling(depth=10), (1, 40), 20)
    assert plant.sync(jobs=220) == 20, "a tenth more"
    assert plant.sync(jobs=221) == 23
    exact = Plant(Scaling(depth=10, up=up(tolerance=0)), (1, 40), 20)
    assert exact.sync(jobs=201) == 21


def test_while_the_queue_cannot_be_seen_the_rest_may_only_add() -> None:
    scaler = QueueScaler((1, 20), OCR, timedelta(0))

    def look(cores: float) -> int:
        sample = Sample(milli(cores), at=900.0, window=15)
        measured = [Measured(Pod(f"w{number}"), sample, Sample(milli(GIB), at=900.0)) for number in range(4)]
        return scaler.sync("PostgreSQL is away", measured, 4, 900.0).replicas

    assert look(0.0) == 4
    assert look(1.4) == 8


def test_workers_that_have_not_come_up_use_nothing_and_add_none() -> None:
    scaler = QueueScaler((1, 20), Scaling(cpu=50, requests=Resources(cpu=1)), timedelta(0))
    busy = Measured(Pod("old"), Sample(milli(1.0), at=900.0, window=15))
    coming = [Measured(Pod(f"new-{number}", "Pending", ready="False", started_at=None)) for number in range(2)]
    assert scaler.sync(Load(0, 0), [busy, *coming], 3, 900.0).replicas == 3
    fresh = [
        Measured(Pod(f"new-{number}", started_at=890.0, ready_since=890.0), Sample(milli(2.0), at=900.0, window=15))
        for number in range(2)
    ]
    assert scaler.sync(Load(0, 0), [busy, *fresh], 3, 905.0).replicas == 3, "starting costs more than running"


def test_on_a_machine_that_cannot_measure_the_rest_decides_both_ways() -> None:
    scaler = QueueScaler((1, 20), OCR, timedelta(0))
    assert scaler.sync(Load(2, 300), None, 4, 900.0).replicas == 6
    wide = QueueScaler((1, 20), Scaling(cpu=70, requests=Resources(cpu=1)), timedelta(0))
    assert wide.sync(Load(2, 300), None, 4, 900.0).replicas == 2


def test_memory_that_an_idle_worker_uses_keeps_one() -> None:
    plant = Plant(Scaling(memory=80, requests=Resources(memory=GIB)), (0, 5), 3)
    plant.run(minutes(10), memory=0.9 * GIB)
    assert plant.count == 2
    plant.run(minutes(10), memory=0.05 * GIB)
    assert plant.count == 1


Noise = Callable[[int, random.Random], dict[str, float]]


def latency_noise(number: int, draw: random.Random) -> dict[str, float]:
    """Jobs of about a second, 8 to 12 workers' worth of them, arriving in lumps."""
    waiting = round(draw.expovariate(1 / 60) + 30 * (1 + math.sin(number * 0.7)))
    mean = seconds(draw.uniform(0.8, 1.2))
    desired = desired_workers(waiting=waiting, running=60, mean_duration=mean, target_latency=seconds(30), slots=10)
    return {"desired": desired}


def depth_noise(number: int, draw: random.Random) -> dict[str, float]:
    """500 jobs, ± 30 %, with a tide."""
    return {"jobs": round(500 * (1 + draw.uniform(-0.2, 0.2) + 0.1 * math.sin(number / 30)))}


def cpu_noise(number: int, draw: random.Random) -> dict[str, float]:
    """Seven cores, ± 30 %, whatever the number of workers that share them."""
    return {"cores": 7 * (1 + draw.uniform(-0.2, 0.2) + 0.1 * math.sin(number / 30))}


def memory_noise(number: int, draw: random.Random) -> dict[str, float]:
    """16 GiB, ± 20 %."""
    return {"memory": 16 * GIB * (1 + draw.uniform(-0.2, 0.2))}


def all_noise(number: int, draw: random.Random) -> dict[str, float]:
    """Everything at once."""
    return {
        key: value for noise in (depth_noise, cpu_noise, memory_noise) for key, value in noise(number, draw).items()
    }


@pytest.mark.parametrize("noise", [latency_noise, depth_noise, cpu_noise, memory_noise, all_noise])
@pytest.mark.parametrize("seed", range(2))
def test_an_hour_of_noise_makes_few_changes(noise: Noise, seed: int) -> None:
    """After ten minutes in which the number is found: at most twelve changes in an hour, by one or two workers each."""
    plant, draw = Plant(OCR, (3, 20)), random.Random(seed)
    path = [plant.sync(**noise(number, draw)) for number in range(840)]  # type: ignore[arg-type]
    found, hour = path[:120], path[120:]
    changes = [after - before for before, after in pairwise(hour) if after != before]
    assert len(changes) <= 12
    assert all(abs(change) <= 2 for change in changes)
    assert max(hour) - min(hour) <= 3
    assert max(found) >= min(hour)
