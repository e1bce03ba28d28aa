from __future__ import annotations

import random

import pytest

from roadworthy import Service, seconds
from roadworthy.errors import DeclarationError
from roadworthy.resilience.concurrency import AdaptiveLimit
from roadworthy.resilience.shedding import Gate, Priority
from unit.resilience.overloaded import Computing, Outcome, Pooled, World, answered, percentile, steady

COMPUTED = 0.01
CAPACITY = 1 / COMPUTED


def share(outcomes: list[Outcome], priority: Priority | None = None) -> float:
    chosen = [one for one in outcomes if priority is None or one.priority == priority]
    return len(answered(chosen)) / len(chosen)


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("computed", [0.003, 0.01, 0.05])
def test_handlers_that_compute_at_three_times_their_capacity(computed: float, even: bool) -> None:
    process = Computing(steady(computed))
    assert share(process.load(0.3 / computed, 5)) > 0.98
    process.load(3 / computed, 2, even=even)
    took = answered(process.load(3 / computed, 20, even=even))
    assert len(took) / 20 > 0.9 / computed
    assert percentile(took, 0.5) < 1.5 * computed
    assert percentile(took, 0.98) < 2.1 * computed
    process.load(0.3 / computed, 1)
    assert share(process.load(0.3 / computed, 5)) > 0.98


def test_without_shedding_they_are_answered_too_late() -> None:
    process = Computing(steady(COMPUTED), shedding=False)
    took = answered(process.load(3 * CAPACITY, 10))
    assert percentile(took, 0.5) > 100 * COMPUTED


def test_a_burst_is_left_alone() -> None:
    process = Computing(steady(COMPUTED))
    for _ in range(5):
        outcomes = process.load(20 * CAPACITY, 0.004)
        process.load(0.1, 1)
        assert share(outcomes) == 1


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
def test_what_can_be_answered_is(load: float) -> None:
    assert share(Computing(steady(COMPUTED)).load(load * CAPACITY, 30)) > 0.98


def test_short_requests_are_not_turned_away_for_being_many() -> None:
    process = Computing(steady(0.0001))
    assert share(process.load(7000, 2)) > 0.99


@pytest.mark.parametrize("draw", [1.3, 2.0, 10.0])
def test_other_overloads(draw: float) -> None:
    process = Computing(steady(COMPUTED))
    process.load(draw * CAPACITY, 1)
    took = answered(process.load(draw * CAPACITY, 20))
    assert len(took) / 20 > 0.85 * CAPACITY
    assert percentile(took, 0.999) < 20 * COMPUTED


def test_it_does_not_spin() -> None:
    process = Computing(steady(COMPUTED))
    process.load(CAPACITY, 5)
    process.load(3 * CAPACITY, 5)
    passes = process.passes
    outcomes = process.load(0.5 * CAPACITY, 10)
    assert process.passes - passes < 10 * len(outcomes)
    passes = process.passes
    process.load(0.0001, 100)
    assert process.passes - passes < 10


def test_what_writes_goes_before_what_reads() -> None:
    pooled = Pooled(8, steady(0.02))
    pooled.load(100, 3)
    outcomes = pooled.load(1200, 10, writes=0.2)
    assert share(outcomes, Priority.WRITE) > 0.97
    assert share(outcomes, Priority.READ) < 0.3
    process = Computing(steady(COMPUTED))
    process.load(0.3 * CAPACITY, 3)
    process.load(3 * CAPACITY, 1, writes=0.1)
    outcomes = process.load(3 * CAPACITY, 20, writes=0.1)
    assert share(outcomes, Priority.WRITE) > 0.97
    assert share(outcomes, Priority.READ) < 0.4


def gate(limit: int) -> tuple[World, Gate]:
    world = World()
    return world, Gate(AdaptiveLimit(world.clock, initial=limit), world.soon, world.later, world.clock)


def waiting(one: Gate, priority: Priority, decided: dict[str, bool], name: str) -> None:
    assert not one.enter()
    one.wait(priority, lambda admitted: decided.__setitem__(name, admitted))


def test_the_highest_priority_is_let_in_and_of_that_the_newest() -> None:
    world, one = gate(4)
    for _ in range(4):
        assert one.enter()
    assert one.overloaded
    decided: dict[str, bool] = {}
    for name, priority in [
        ("low", Priority.LOW),
        ("read", Priority.READ),
        ("write", Priority.WRITE),
        ("later write", Priority.WRITE),
        ("critical", Priority.CRITICAL),
        ("later read", Priority.READ),
    ]:
        waiting(one, priority, decided, name)
    # There is one place for those that read, and the newer has it.
    assert decided == {"read": False}
    for _ in range(5):
        world.now += 0.0001
        one.leave("one", 4, 0.0)
    order = ["critical", "later write", "write", "later read", "low"]
    assert list(decided) == ["read", *order]
    assert all(decided[name] for name in order)
    assert one.in_flight == 4


def test_nobody_waits_for_ever() -> None:
    world, one = gate(1)
    one.limit.ended("one", 1, 0.0, 0.1)
    assert one.enter()
    decided: dict[str, bool] = {}
    waiting(one, Priority.READ, decided, "read")
    waiting(one, Priority.CRITICAL, decided, "critical")
    world.run(0.2)
    assert decided == {"read": False}
    world.run(3)
    assert decided == {"read": False, "critical": False}
    assert one.in_flight == 1


def test_who_gives_up_is_forgotten() -> None:
    _, one = gate(1)
    assert one.enter()
    decided: list[bool] = []
    assert not one.enter()
    gone = one.wait(Priority.READ, decided.append)
    one.give_up(gone)
    one.give_up(gone)
    one.leave("one", 1, 0.0)
    assert (decided, one.in_flight) == ([], 0)
    assert one.enter()


def test_what_is_withdrawn_makes_room() -> None:
    _, one = gate(1)
    assert one.enter()
    decided: dict[str, bool] = {}
    waiting(one, Priority.READ, decided, "read")
    one.withdraw()
    assert (decided, one.in_flight) == ({"read": True}, 1)


def test_mixed_durations_while_behind() -> None:
    draw = random.Random(2)
    process = Computing(lambda: ("one", draw.choice([0.001, 0.02])))
    process.load(30, 3)
    process.load(300, 1)
    took = answered(process.load(300, 20))
    assert len(took) / 20 > 0.85 / 0.0105
    assert percentile(took, 0.98) < 0.06


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"critical": ["/orders"]}, "write a method, a space and the path"),
        ({"critical": ["POST /a"], "low": ["POST /a"]}, "choose one of them"),
        ({"slower": 1.0}, "a multiple of the usual latency"),
        ({"initial": 0}, "at least 1"),
        ({"initial": 50, "most": 20}, "most no less"),
        ({"retry_after": seconds(0.5)}, "from a second to an hour"),
    ],
)
def test_declarations_that_cannot_work(declared: dict[str, object], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        Service("tested").shedding(**declared)  # type: ignore[arg-type]


def test_it_is_declared_once() -> None:
    service = Service("tested")
    assert service.spec.shedding is None
    service.shedding(low=["GET /export"])
    assert service.spec.shedding is not None
    with pytest.raises(DeclarationError, match="already declared"):
        service.shedding()
